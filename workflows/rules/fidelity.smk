def samples_of_process(wildcards):
    shards = range(experiment.settings[wildcards.setting].samples.shards)
    return [of(wildcards, f"samples/{wildcards.process}/{shard}.json") for shard in shards]


# All variants of a process in one job: extracting features takes seconds here, starting a process too.
rule fidelity:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        samples_of_process,
    output:
        "results/{setting}/fidelity/{process}.json",
    params:
        config=parts("fidelity.resamples"),
        metrics=experiment.fidelity_metrics,
    threads: 1
    shell:
        "bench fidelity --config {RESOLVED} --setting {wildcards.setting} --process {wildcards.process} --threads {threads}"
