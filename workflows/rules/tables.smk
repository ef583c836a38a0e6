def measured(wildcards):
    """What the metrics asked for come from, over all settings."""
    files = []
    for name, setting in experiment.settings.items():
        if experiment.wants_bound(name):
            files.append(f"results/{name}/bound.parquet")
        if experiment.sample_metrics:
            files += [f"results/{name}/fidelity/{process}.json" for process, _ in setting.processes.items()]
    return files


FIGURES = [f"results/{name}/figures/{group}.png" for name in experiment.settings for group in experiment.metric_groups]


rule cells:
    input:
        measured,
        published=sorted(str(path) for path in Path(workflow.basedir).glob("workflows/published/*.csv")),
    output:
        "results/cells.csv",
        "results/paired.csv",
        "results/reproduction.csv",
        "results/reproduction.md",
    params:
        metrics=metric_versions(experiment.all_metrics),
        targets={name: setting.fidelity.target_fid for name, setting in experiment.settings.items()},
    shell:
        "bench cells --config {RESOLVED}"


rule figures:
    input:
        "results/cells.csv",
    output:
        [f"results/{{setting}}/figures/{group}.png" for group in experiment.metric_groups],
    params:
        metrics=metric_versions(experiment.all_metrics),
    shell:
        "bench figures --config {RESOLVED} --setting {wildcards.setting}"


rule tables:
    input:
        "results/cells.csv",
        "results/paired.csv",
        "results/reproduction.csv",
        "results/reproduction.md",
        FIGURES,
    output:
        "results/table1.csv",
        "results/table1.md",
        "results/table2.csv",
        "results/metrics.json",
        "results/tracking.json",
        [f"results/plots/{group}.csv" for group in experiment.metric_groups],
    params:
        config=experiment.digest(),
        store=tracking.uri(),
    shell:
        "bench tables --config {RESOLVED} && bench track --config {RESOLVED}"


rule thresholds:
    input:
        sorted(str(path) for path in Path(workflow.basedir).glob("workflows/published/*.csv")),
    output:
        "results/table3.csv",
    shell:
        "bench thresholds"


rule theory:
    output:
        "results/theory.csv",
    params:
        seed=experiment.seed,
    threads: 1  # small matrices: a second thread makes it slower
    shell:
        "bench theory --config {RESOLVED} --threads {threads}"
