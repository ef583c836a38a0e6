# One job samples every K of one (process, variant), or a shard of the images of each.
rule samples:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        "results/{setting}/trajectories.json",
        lambda wildcards: variant_inputs(wildcards, [wildcards.variant]),
    output:
        directory("results/{setting}/samples/{process}/{variant}/{shard}"),
    params:
        config=parts("schedule", "samples", "processes.ddim.eta", "clip_levels"),
    threads: 1
    priority: 4
    shell:
        "bench samples --config {RESOLVED} --setting {wildcards.setting} --process {wildcards.process}"
        " --variant {wildcards.variant} --shard {wildcards.shard} --threads {threads}"
