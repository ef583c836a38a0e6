rule data:
    output:
        directory("results/{setting}/data"),
    params:
        config=parts("data"),
    shell:
        "bench data --config {RESOLVED} --setting {wildcards.setting}"


# The MLflow store exists before any training logs to it: two first-time migrations at once would break it.
rule store:
    output:
        touch("results/.store"),
    params:
        config=json.dumps([tracking.uri(), list(experiment.settings)]),
    shell:
        "bench store --config {RESOLVED}"
