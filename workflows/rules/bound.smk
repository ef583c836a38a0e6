rule bound:
    input:
        inputs_of_bound,
        shards_of("bound"),
    output:
        f"{MEASURED}/bound.parquet",
        f"{MEASURED}/terms.parquet",
        f"{MEASURED}/calibration.parquet",
    log:
        "results/.logs/{setting}/bound.log",
    priority: 6
    threads: 1
    resources:
        config=config_of,
        gpu=gpu_of("bound"),
    params:
        config=parts_and_cells(
            "bound",
            "schedule",
            "bound",
            f"processes.{process.BOUND_PROCESS}",
            process=process.BOUND_PROCESS,
        ),
        version=VERSIONS["bound"],
        versions=lambda wildcards: variant_versions(rows_of(wildcards).bound_variants),
        shard="",
    shell:
        "bench bound --config {resources.config:q} --setting {wildcards.setting:q} {params.shard}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"


# The bounds of some images.
use rule bound as bound_shard with:
    input:
        inputs_of_bound,
    output:
        temp(directory(f"{MEASURED}/shards/bound-{{shard}}")),
    log:
        "results/.logs/{setting}/bound-{shard}.log",
    resources:
        config=config_of,
        gpu=GPU,
    params:
        shard="--shard {shard}",
        shards=number_of_shards,


# The chain of second order has its own pass of each image and step: its steps are on one path.
rule bound_2m:
    input:
        inputs_of_second_order_bound,
        shards_of("bound_2m"),
    output:
        f"{MEASURED}/bound_2m.parquet",
    log:
        "results/.logs/{setting}/bound_2m.log",
    priority: 6
    threads: 1
    resources:
        config=config_of,
        gpu=gpu_of("bound_2m"),
    params:
        config=parts_and_cells(
            "bound",
            "schedule",
            "bound",
            f"processes.{process.SECOND_ORDER_BOUND}",
            process=process.SECOND_ORDER_BOUND,
        ),
        version=VERSIONS["bound_2m"],
        versions=versions_of_second_order_bound,
        shard="",
    shell:
        "bench bound_2m --config {resources.config:q} --setting {wildcards.setting:q} {params.shard}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"


# The bounds of some images.
use rule bound_2m as bound_2m_shard with:
    input:
        inputs_of_second_order_bound,
    output:
        temp(directory(f"{MEASURED}/shards/bound_2m-{{shard}}")),
    log:
        "results/.logs/{setting}/bound_2m-{shard}.log",
    resources:
        config=config_of,
        gpu=GPU,
    params:
        shard="--shard {shard}",
        shards=number_of_shards,


# What figures show of the variances: a few images and steps.
rule variances:
    input:
        inputs_of_variances,
    output:
        f"{MEASURED}/variances.parquet",
        f"{MEASURED}/variance_maps.npz",
    log:
        "results/.logs/{setting}/variances.log",
    threads: 1
    resources:
        config=config_of,
        gpu=GPU,
    params:
        config=parts("schedule", f"processes.{process.BOUND_PROCESS}"),
        steps=steps_of_variances,
        version=VERSIONS["variances"],
        versions=lambda wildcards: variant_versions(rows_of(wildcards).bound_variants),
    shell:
        "bench variances --config {resources.config:q} --setting {wildcards.setting:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
