rule extractor:
    input:
        "results/{setting}/data",
        lambda wildcards: experiment.settings[wildcards.setting].extractor.weights or [],
    output:
        directory("results/{setting}/extractor"),
    log:
        "results/.logs/{setting}/extractor.log",
    priority: 5
    threads: 1
    params:
        config=parts("extractor"),
    shell:
        'bench extractor --config "$CONFIG" --setting {wildcards.setting:q} --threads {threads}'
        " 2>&1 | tee -i {log:q} >&2"
