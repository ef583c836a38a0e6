def samples_of_process(wildcards):
    setting = experiment.settings[wildcards.setting]
    return [of(wildcards, f"samples/{wildcards.process}/{needs}-{shard}.json")
            for needs in setting.variants_by_need(wildcards.process) for shard in range(setting.samples.shards)]


# Features of real images, kept in results/.features for every setting that has the same data and extractor.
rule reference:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        lambda wildcards: experiment.settings[wildcards.setting].fidelity.reference or [],
    output:
        "results/{setting}/reference.json",
    params:
        config=parts("fidelity.reference", "fidelity.reference_images", "samples.count"),
        resizings=[str(resizing) for resizing in experiment.resizings],
    threads: 1
    priority: 5
    resources:
        gpu=GPU,
    shell:
        "bench reference --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"


# All variants of a process in one job: extracting features takes seconds here, starting a process too.
rule fidelity:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        "results/{setting}/reference.json",
        samples_of_process,
    output:
        "results/{setting}/fidelity/{process}.json",
    params:
        config=parts("fidelity.resamples"),
        metrics=metric_versions(experiment.sample_metrics),
    threads: 1
    resources:
        gpu=GPU,
    shell:
        "bench fidelity --config {RESOLVED} --setting {wildcards.setting} --process {wildcards.process} --threads {threads}"
