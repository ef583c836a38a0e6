rule bound:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        lambda wildcards: cell_inputs(wildcards, "bound", "ddpm", variants_of_bound(wildcards)),
    output:
        "results/{setting}/bound.parquet",
    log:
        "results/.logs/{setting}/bound.log",
    priority: 6
    threads: 1
    resources:
        gpu=GPU,
    params:
        config=parts("schedule", "bound", "processes.ddpm"),
        code=lambda wildcards: variant_code(variants_of_bound(wildcards)),
    shell:
        "bench bound --config $CONFIG --setting {wildcards.setting:q} --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
