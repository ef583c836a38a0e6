rule trajectories:
    input:
        estimates_for_trajectories,
    output:
        "results/{setting}/trajectories/{kind}.json",
    log:
        "results/.logs/{setting}/trajectories-{kind}.log",
    priority: 8
    threads: 1
    resources:
        config=config_of,
    params:
        config=parts("schedule"),
        asked=trajectories_asked,
        version=VERSIONS["trajectories"],
        versions=versions_of_costs,
    shell:
        "bench trajectories --config {resources.config:q} --setting {wildcards.setting:q}"
        " --kind {wildcards.kind:q}"
        " 2>&1 | tee -i {log:q} >&2"
