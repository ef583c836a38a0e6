rule bound:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        lambda wildcards: cell_inputs(
            wildcards,
            setting_of(wildcards).bound_kinds(),
            setting_of(wildcards).bound_variants,
        ),
    output:
        "results/{setting}/bound.parquet",
    params:
        config=parts("schedule", "bound", f"processes.{process.BOUND_PROCESS}"),
        code=lambda wildcards: variant_code(setting_of(wildcards).bound_variants),
    threads: 1
    priority: 6
    resources:
        gpu=GPU,
    shell:
        "bench bound --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
