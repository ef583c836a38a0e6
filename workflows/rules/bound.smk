rule bound:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        lambda wildcards: trajectory_inputs(wildcards, "bound", "ddpm", experiment.settings[wildcards.setting].variants("ddpm")),
        lambda wildcards: variant_inputs(wildcards, experiment.settings[wildcards.setting].variants("ddpm")),
    output:
        "results/{setting}/bound.parquet",
    params:
        config=parts("schedule", "bound", "processes.ddpm"),
        code=lambda wildcards: variant_code(experiment.settings[wildcards.setting].variants("ddpm")),
    threads: 1
    priority: 6
    resources:
        gpu=GPU,
    shell:
        "bench bound --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
