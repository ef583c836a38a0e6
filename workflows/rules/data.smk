rule data:
    output:
        directory("results/{setting}/data"),
    log:
        "results/.logs/{setting}/data.log",
    resources:
        config=config_of,
    params:
        config=parts("data"),
        version=VERSIONS["data"],
    shell:
        "bench data --config {resources.config:q} --setting {wildcards.setting:q}"
        " 2>&1 | tee -i {log:q} >&2"
