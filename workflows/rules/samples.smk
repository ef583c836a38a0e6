# One job samples every (variant, K) of a process whose variant needs the same (nothing, the
# moments, the heads), or a shard of the images of each: a process takes seconds to start, and
# most variants need not wait for the heads. Images carry what made them, and those that are right
# are kept when the job runs again.
rule samples:
    input:
        inputs_of_samples,
    output:
        f"{MEASURED}/samples/{{process}}/{{needs}}-{{shard}}.json",
    log:
        "results/.logs/{setting}/samples-{process}-{needs}-{shard}.log",
    priority: sampling_priority
    threads: 1
    resources:
        config=config_of,
        gpu=GPU,
    params:
        config=parts_and_cells("samples", "schedule", "samples", "clip_levels"),
        shards=number_of_shards,
        eta=options_of_process,
        version=VERSIONS["samples"],
        versions=versions_of_job,
    shell:
        "bench samples --config {resources.config:q} --setting {wildcards.setting:q}"
        " --process {wildcards.process:q}"
        " --needs {wildcards.needs:q} --shard {wildcards.shard:q} --threads {threads}"
        " 2>&1 | tee -i {log:q} >&2"
