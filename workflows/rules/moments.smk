rule moments:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
    output:
        directory("results/{setting}/moments"),
    log:
        "results/.logs/{setting}/moments.log",
    priority: 8
    threads: 1
    resources:
        config=config_of,
        gpu=GPU,
    params:
        config=parts("schedule", "moments"),
        version=VERSIONS["moments"],
        coordinates=lambda wildcards: setting_of(wildcards).moments_by_coordinate(),
    shell:
        "bench moments --config {resources.config:q} --setting {wildcards.setting:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
