rule mean:
    input:
        "results/{setting}/data",
        mean_of_another,
    output:
        directory("results/{setting}/mean"),
    log:
        "results/.logs/{setting}/mean.log",
    priority: 10
    threads: 1  # a second one is worth a fifth, and halts both where anything else wants its core
    resources:
        config=config_of,
        gpu=GPU,
    params:
        config=config_of_mean,
        version=VERSIONS["mean"],
    shell:
        "bench mean --config {resources.config:q} --setting {wildcards.setting:q}"
        " --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
