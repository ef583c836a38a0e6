rule extractor:
    input:
        "results/{setting}/data",
        store=ancient("results/.store"),
    output:
        directory("results/{setting}/extractor"),
    params:
        config=parts("extractor"),
    threads: 1
    shell:
        "bench extractor --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
