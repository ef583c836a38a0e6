rule extractor:
    input:
        "results/{setting}/data",
        lambda wildcards: experiment.settings[wildcards.setting].extractor.weights or [],
    output:
        directory("results/{setting}/extractor"),
    params:
        config=parts("extractor"),
    threads: 1
    priority: 5
    shell:
        "bench extractor --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
