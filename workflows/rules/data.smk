rule data:
    output:
        directory("results/{setting}/data"),
    params:
        config=parts("data"),
    shell:
        "bench data --config {RESOLVED} --setting {wildcards.setting}"
