def variants_of_job(wildcards):
    """The variants of the process that need what the job is for."""
    return setting_of(wildcards).variants_by_need(wildcards.process).get(wildcards.needs, [])


def kinds_of_job(wildcards):
    """Names of the trajectories of the job's cells."""
    return setting_of(wildcards).kinds("samples", wildcards.process, variants_of_job(wildcards))


# One job samples every (variant, K) of a process whose variant needs the same (nothing, the moments, the heads), or a shard of
# the images of each: a process takes seconds to start, and most variants need not wait for the heads. Images carry what made
# them, and those that are right are kept when the job runs again. What takes longest by default goes first.
rule samples:
    input:
        "results/{setting}/data",
        "results/{setting}/mean",
        lambda wildcards: cell_inputs(wildcards, kinds_of_job(wildcards), variants_of_job(wildcards)),
    output:
        "results/{setting}/samples/{process}/{needs}-{shard}.json",
    params:
        config=parts("schedule", "samples", "clip_levels"),
        eta=lambda wildcards: part(wildcards, f"processes.{wildcards.process}.eta"),
        code=lambda wildcards: variant_code(variants_of_job(wildcards)),
    threads: 1
    priority: lambda wildcards: {"moments": 4, "heads": 3, "nothing": 2}[wildcards.needs]
    resources:
        gpu=GPU,
    shell:
        "bench samples --config {RESOLVED} --setting {wildcards.setting} --process {wildcards.process}"
        " --needs {wildcards.needs} --shard {wildcards.shard} --threads {threads}"
