rule mean:
    input:
        "results/{setting}/data",
    output:
        directory("results/{setting}/mean"),
    log:
        "results/.logs/{setting}/mean.log",
    priority: 10
    threads: 1  # a second one is worth a fifth, and halts both where anything else wants its core
    resources:
        gpu=GPU,
    params:
        config=config_of_mean,
        version=VERSIONS["mean"],
    shell:
        "bench mean --config $CONFIG --setting {wildcards.setting:q} --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
