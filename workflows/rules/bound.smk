rule bound:
    input:
        inputs_of_bound,
    output:
        "results/{setting}/bound.parquet",
        "results/{setting}/terms.parquet",
        "results/{setting}/calibration.parquet",
    log:
        "results/.logs/{setting}/bound.log",
    priority: 6
    threads: 1
    resources:
        config=config_of,
        gpu=GPU,
    params:
        config=parts("schedule", "bound", f"processes.{process.BOUND_PROCESS}"),
        version=VERSIONS["bound"],
        versions=lambda wildcards: variant_versions(setting_of(wildcards).bound_variants),
    shell:
        "bench bound --config {resources.config:q} --setting {wildcards.setting:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
