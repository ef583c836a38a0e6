rule data:
    output:
        directory("results/{setting}/data"),
    log:
        "results/.logs/{setting}/data.log",
    params:
        config=parts("data"),
    shell:
        'bench data --config "$CONFIG" --setting {wildcards.setting:q} 2>&1 | tee -i {log:q} >&2'
