rule heads:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        lambda wildcards: [of(wildcards, "moments.npz")] if setting_of(wildcards).heads_need_moments else [],
    output:
        directory("results/{setting}/heads"),
    params:
        config=parts("schedule", "heads"),
        code=lambda wildcards: variant_code(setting_of(wildcards).head_names),
    threads: 1
    priority: 9
    resources:
        gpu=GPU,
    shell:
        "bench heads --config {RESOLVED} --setting {wildcards.setting} --threads {threads}"
