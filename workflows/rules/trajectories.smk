def moments_for_trajectories(wildcards):
    """Only optimal trajectories are estimated."""
    kinds = {kind for kind, _ in experiment.settings[wildcards.setting].trajectories()}
    return [of(wildcards, "moments.npz")] if "optimal" in kinds else []


def trajectories_asked(wildcards):
    wanted = experiment.settings[wildcards.setting].trajectories()
    return json.dumps(sorted([kind, variant, Ks] for (kind, variant), Ks in wanted.items()))


rule trajectories:
    input:
        "results/{setting}/data",
        moments_for_trajectories,
    output:
        "results/{setting}/trajectories.json",
    params:
        config=parts("schedule"),
        asked=trajectories_asked,
    threads: 1
    priority: 8
    shell:
        "bench trajectories --config {RESOLVED} --setting {wildcards.setting}"
