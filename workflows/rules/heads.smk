rule heads:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        lambda wildcards: [of(wildcards, "moments")] if experiment.settings[wildcards.setting].heads_need_moments else [],
    output:
        directory("results/{setting}/heads"),
    params:
        config=parts("schedule", "heads"),
    threads: 1
    priority: 9
    resources:
        gpu=GPU,
    shell:
        "bench heads --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
