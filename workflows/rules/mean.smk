rule mean:
    input:
        "results/{setting}/data",
    output:
        directory("results/{setting}/mean"),
    params:
        config=parts("schedule", "mean"),
    threads: 1  # a second one is worth a fifth, and halts both where anything else wants its core
    priority: 10
    resources:
        gpu=GPU,
    shell:
        "bench mean --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
