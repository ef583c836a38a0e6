rule heads:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        estimates_for_heads,
    output:
        directory("results/{setting}/heads"),
    log:
        "results/.logs/{setting}/heads.log",
    priority: 9
    threads: 1
    resources:
        gpu=GPU,
    params:
        config=parts("schedule", "heads"),
        code=lambda wildcards: variant_code(setting_of(wildcards).head_names),
    shell:
        'bench heads --config "$CONFIG" --setting {wildcards.setting:q} --threads {threads}'
        " 2>&1 | tee -i {log:q} >&2"
