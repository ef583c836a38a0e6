def estimates_for_trajectories(wildcards):
    """Only optimal trajectories are estimated; the others follow from N and K."""
    return [of(wildcards, "data"), of(wildcards, "moments")] if wildcards.kind == "optimal" else []


def trajectories_asked(wildcards):
    return json.dumps(experiment.settings[wildcards.setting].trajectories().get(wildcards.kind, {}), sort_keys=True)


rule trajectories:
    input:
        estimates_for_trajectories,
    output:
        "results/{setting}/trajectories/{kind}.json",
    params:
        config=parts("schedule"),
        asked=trajectories_asked,
    threads: 1
    priority: 8
    shell:
        "bench trajectories --config {RESOLVED} --setting {wildcards.setting} --kind {wildcards.kind}"
