# One job samples every (variant, K) of a process, or a shard of the images of each: a process takes seconds to
# start. Its images carry what made them, and those that are right are kept when the job runs again.
rule samples:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        "results/{setting}/trajectories.json",
        lambda wildcards: variant_inputs(wildcards, experiment.settings[wildcards.setting].variants(wildcards.process)),
    output:
        "results/{setting}/samples/{process}/{shard}.json",
    params:
        config=parts("schedule", "samples", "clip_levels"),
        process=lambda wildcards: part(wildcards, f"processes.{wildcards.process}"),
        code=lambda wildcards: variant_code(wildcards, wildcards.process),
    threads: 1
    priority: 6
    resources:
        gpu=GPU,
    shell:
        "bench samples --config {RESOLVED} --setting {wildcards.setting} --process {wildcards.process}"
        " --shard {wildcards.shard} --threads {threads}"
