def estimates_for_trajectories(wildcards):
    """Only optimal trajectories are estimated; the others follow from N and K."""
    return [of(wildcards, "data"), of(wildcards, "moments.npz")] if wildcards.kind == "optimal" else []


def trajectories_asked(wildcards):
    return json.dumps(setting_of(wildcards).trajectories().get(wildcards.kind, {}), sort_keys=True)


def code_of_costs(wildcards):
    """Digests of the code of the variants whose costs decide the trajectories."""
    optimal = setting_of(wildcards).trajectories().get("optimal", {})
    return variant_code(sorted(optimal)) if wildcards.kind == "optimal" else ""


rule trajectories:
    input:
        estimates_for_trajectories,
    output:
        "results/{setting}/trajectories/{kind}.json",
    params:
        config=parts("schedule"),
        asked=trajectories_asked,
        code=code_of_costs,
    threads: 1
    priority: 8
    shell:
        "bench trajectories --config {RESOLVED} --setting {wildcards.setting} --kind {wildcards.kind}"
