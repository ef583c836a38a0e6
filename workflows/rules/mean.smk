rule mean:
    input:
        "results/{setting}/data",
    output:
        directory("results/{setting}/mean"),
    params:
        config=parts("schedule", "mean"),
    threads: 2
    priority: 10
    resources:
        gpu=GPU,
    shell:
        "bench mean --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
