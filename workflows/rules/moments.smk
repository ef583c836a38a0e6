rule moments:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
    output:
        directory("results/{setting}/moments"),
    params:
        config=parts("schedule", "moments"),
    threads: 1
    priority: 8
    resources:
        gpu=GPU,
    shell:
        "bench moments --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
