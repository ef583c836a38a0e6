# Features of real images, kept in results/.features for every setting with the same data and
# extractor.
rule reference:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        lambda wildcards: setting_of(wildcards).fidelity.reference or [],
        shards_of("reference"),
    output:
        "results/{setting}/reference.json",
    log:
        "results/.logs/{setting}/reference.log",
    priority: 5
    threads: 1
    resources:
        config=config_of,
        gpu=gpu_of("reference"),
    params:
        config=parts("fidelity.reference", "fidelity.reference_images", "samples.count"),
        version=VERSIONS["reference"],
        resizings=lambda wildcards: [str(one) for one in experiment_of(wildcards).resizings],
        shard="",
    shell:
        "bench reference --config {resources.config:q} --setting {wildcards.setting:q} {params.shard}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"


# The features of some images.
use rule reference as reference_shard with:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        lambda wildcards: setting_of(wildcards).fidelity.reference or [],
    output:
        temp("results/{setting}/shards/reference-{shard}.json"),
    log:
        "results/.logs/{setting}/reference-{shard}.log",
    resources:
        config=config_of,
        gpu=GPU,
    params:
        shard="--shard {shard}",
        shards=number_of_shards,


# All variants of a process in one job: extracting features takes seconds, and so does a process.
rule fidelity:
    input:
        inputs_of_fidelity,
        shards_of("fidelity"),
    output:
        f"{MEASURED}/fidelity/{{process}}.json",
    log:
        "results/.logs/{setting}/fidelity-{process}.log",
    threads: 1
    resources:
        config=config_of,
        gpu=gpu_of("fidelity"),
    params:
        config=parts("fidelity.resamples"),
        version=VERSIONS["fidelity"],
        versions=lambda wildcards: metric_versions(experiment_of(wildcards).sample_metrics),
        shard="",
    shell:
        "bench fidelity --config {resources.config:q} --setting {wildcards.setting:q}"
        " --process {wildcards.process:q} {params.shard}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"


# The scores of some cells.
use rule fidelity as fidelity_shard with:
    input:
        inputs_of_fidelity,
    output:
        temp(f"{MEASURED}/shards/fidelity-{{process}}-{{shard}}.json"),
    log:
        "results/.logs/{setting}/fidelity-{process}-{shard}.log",
    resources:
        config=config_of,
        gpu=GPU,
    params:
        shard="--shard {shard}",
        shards=number_of_shards,
