rule moments:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        shards_of("moments"),
    output:
        directory("results/{setting}/moments"),
    log:
        "results/.logs/{setting}/moments.log",
    priority: 8
    threads: 1
    resources:
        config=config_of,
        gpu=gpu_of("moments"),
    params:
        config=parts("schedule", "moments"),
        version=VERSIONS["moments"],
        coordinates=lambda wildcards: setting_of(wildcards).moments_by_coordinate(),
        shard="",
    shell:
        "bench moments --config {resources.config:q} --setting {wildcards.setting:q} {params.shard}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"


# The moments of some steps.
use rule moments as moments_shard with:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
    output:
        temp(directory("results/{setting}/shards/moments-{shard}")),
    log:
        "results/.logs/{setting}/moments-{shard}.log",
    resources:
        config=config_of,
        gpu=GPU,
    params:
        shard="--shard {shard}",
        shards=number_of_shards,
