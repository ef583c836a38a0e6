# Features of real images, kept in results/.features for every setting with the same data and
# extractor.
rule reference:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        lambda wildcards: setting_of(wildcards).fidelity.reference or [],
    output:
        "results/{setting}/reference.json",
    log:
        "results/.logs/{setting}/reference.log",
    priority: 5
    threads: 1
    resources:
        config=config_of,
        gpu=GPU,
    params:
        config=parts("fidelity.reference", "fidelity.reference_images", "samples.count"),
        version=VERSIONS["reference"],
        resizings=lambda wildcards: [str(one) for one in experiment_of(wildcards).resizings],
    shell:
        "bench reference --config {resources.config:q} --setting {wildcards.setting:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"


# All variants of a process in one job: extracting features takes seconds, and so does a process.
rule fidelity:
    input:
        inputs_of_fidelity,
    output:
        f"{MEASURED}/fidelity/{{process}}.json",
    log:
        "results/.logs/{setting}/fidelity-{process}.log",
    threads: 1
    resources:
        config=config_of,
        gpu=GPU,
    params:
        config=parts("fidelity.resamples"),
        version=VERSIONS["fidelity"],
        versions=lambda wildcards: metric_versions(experiment_of(wildcards).sample_metrics),
    shell:
        "bench fidelity --config {resources.config:q} --setting {wildcards.setting:q}"
        " --process {wildcards.process:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
