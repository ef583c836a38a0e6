def variants_of_bound(wildcards):
    return experiment.settings[wildcards.setting].variants("ddpm")


rule bound:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        lambda wildcards: cell_inputs(wildcards, "bound", "ddpm", variants_of_bound(wildcards)),
    output:
        "results/{setting}/bound.parquet",
    params:
        config=parts("schedule", "bound", "processes.ddpm"),
        code=lambda wildcards: variant_code(variants_of_bound(wildcards)),
    threads: 1
    priority: 6
    resources:
        gpu=GPU,
    shell:
        "bench bound --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
