# Features of real images, kept in results/.features for every setting with the same data and
# extractor.
rule reference:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        lambda wildcards: experiment.settings[wildcards.setting].fidelity.reference or [],
    output:
        "results/{setting}/reference.json",
    log:
        "results/.logs/{setting}/reference.log",
    priority: 5
    threads: 1
    resources:
        gpu=GPU,
    params:
        config=parts("fidelity.reference", "fidelity.reference_images", "samples.count"),
        resizings=[str(resizing) for resizing in experiment.resizings],
    shell:
        'bench reference --config "$CONFIG" --setting {wildcards.setting:q} --threads {threads}'
        " 2>&1 | tee -i {log:q} >&2"


# All variants of a process in one job: extracting features takes seconds, and so does a process.
rule fidelity:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        "results/{setting}/reference.json",
        samples_of_process,
    output:
        "results/{setting}/fidelity/{process}.json",
    log:
        "results/.logs/{setting}/fidelity-{process}.log",
    threads: 1
    resources:
        gpu=GPU,
    params:
        config=parts("fidelity.resamples"),
        metrics=metric_versions(experiment.sample_metrics),
    shell:
        'bench fidelity --config "$CONFIG" --setting {wildcards.setting:q}'
        " --process {wildcards.process:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
