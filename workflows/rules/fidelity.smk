def samples_of_process(wildcards):
    setting = experiment.settings[wildcards.setting]
    return expand(
        "results/{setting}/samples/{process}/{variant}/{shard}",
        setting=wildcards.setting,
        process=wildcards.process,
        variant=setting.variants(wildcards.process),
        shard=range(setting.samples.shards),
    )


# All variants of a process in one job: extracting features takes seconds here, starting a process too.
rule fidelity:
    input:
        "results/{setting}/data",
        "results/{setting}/extractor",
        samples_of_process,
    output:
        "results/{setting}/fidelity/{process}.json",
    params:
        config=parts("fidelity.resamples", "samples"),
        metrics=experiment.fidelity_metrics,
    threads: 1
    shell:
        "bench fidelity --config {RESOLVED} --setting {wildcards.setting} --process {wildcards.process} --threads {threads}"
