rule extractor:
    input:
        "results/{setting}/data",
        lambda wildcards: setting_of(wildcards).extractor.weights or [],
    output:
        directory("results/{setting}/extractor"),
    log:
        "results/.logs/{setting}/extractor.log",
    priority: 5
    threads: 1
    resources:
        config=config_of,
    params:
        config=parts("extractor"),
        version=VERSIONS["extractor"],
    shell:
        "bench extractor --config {resources.config:q} --setting {wildcards.setting:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
