rule heads:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        estimates_for_heads,
    output:
        directory("results/{setting}/heads"),
    log:
        "results/.logs/{setting}/heads.log",
    priority: 9
    threads: 1
    resources:
        config=config_of,
        gpu=GPU,
    params:
        config=parts("schedule", "heads"),
        version=VERSIONS["heads"],
        versions=lambda wildcards: variant_versions(setting_of(wildcards).head_names),
    shell:
        "bench heads --config {resources.config:q} --setting {wildcards.setting:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
