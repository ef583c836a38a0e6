rule cells:
    input:
        measured=[file for name in experiment.selected for file in measured(name)],
        data=[f"results/{name}/data" for name in experiment.selected],
        published=lambda wildcards: published_files(),
    output:
        TABLES.cells,
        TABLES.paired,
        TABLES.calibration,
        TABLES.reproduction,
        TABLES.reproduction_report,
    log:
        f"{TABLE_LOGS}/cells.log",
    params:
        version=VERSIONS["cells"],
        versions=metric_versions(experiment.all_metrics),
        targets={key: setting.fidelity.target_fid for key, setting in experiment.selected.items()},
    shell:
        "bench cells --config $CONFIG 2>&1 | tee -i {log:q} >&2"


rule figures:
    input:
        TABLES.cells,
        TABLES.paired,
        TABLES.calibration,
        inputs_of_figures,
    output:
        [shown_figure(figure) for figure in experiment.figures],
        [TABLES.figure("{setting}", figure, "png") for figure in experiment.figures],
    log:
        f"{TABLE_LOGS}/figures-{{setting}}.log",
    params:
        version=VERSIONS["figures"],
        versions=metric_versions(experiment.all_metrics),
    shell:
        "bench figures --config $CONFIG --setting {wildcards.setting:q} 2>&1 | tee -i {log:q} >&2"


rule write_tables:
    input:
        TABLES.cells,
        TABLES.paired,
        TABLES.reproduction,
        TABLES.reproduction_report,
        paths.THRESHOLDS,
        TABLES.calibration,
        [
            TABLES.figure(name, figure, kind)
            for name in experiment.selected
            for figure in experiment.figures
            for kind in ("png", "svg")
        ],
        [file for name in experiment.selected for file in logged(name)],
    output:
        TABLES.table1,
        TABLES.table1_report,
        TABLES.table1_latex,
        TABLES.table2,
        TABLES.metrics,
        TABLES.tracking,
        [TABLES.plot(group) for group in experiment.metric_groups],
        [shown_page(name) for name in paths.PAGES],
    log:
        f"{TABLE_LOGS}/tables.log",
    params:
        config=experiment.digest(),
        version=VERSIONS["tables"],
        store=address.shown(),
    shell:
        "(bench tables --config $CONFIG && bench log $FOLDER) 2>&1 | tee -i {log:q} >&2"


# All tables of the experiment, whatever its name.
rule tables:
    input:
        TABLES.table1,
        paths.THRESHOLDS,


# measure_<setting>: what the tables need of one setting.
for name in experiment.selected:

    rule:
        name:
            f"measure_{name}"
        input:
            measured(name),


# Means over the repeated settings of a study.
rule study:
    input:
        lambda wildcards: [
            file for name in STUDIES[wildcards.study].settings for file in measured(name)
        ],
    output:
        "results/{study}-tables/study.csv",
        "results/{study}-tables/study.png",
    log:
        "results/.logs/{study}-tables/study.log",
    params:
        version=VERSIONS["study"],
        versions=lambda wildcards: metric_versions(STUDIES[wildcards.study].all_metrics),
    shell:
        "bench study --config results/{wildcards.study:q}-tables/config.yaml"
        " 2>&1 | tee -i {log:q} >&2"


rule studies:
    input:
        [paths.Tables(name).study for name in STUDIES],


rule thresholds:
    input:
        lambda wildcards: published_files(),
    output:
        paths.THRESHOLDS,
        shown_page("table3"),
    log:
        "results/.logs/thresholds.log",
    params:
        version=VERSIONS["thresholds"],
    shell:
        "bench thresholds 2>&1 | tee -i {log:q} >&2"


rule theory:
    output:
        paths.THEORY,
        shown_page("theory"),
    log:
        "results/.logs/theory.log",
    threads: 1  # small matrices: a second thread makes it slower
    params:
        seed=experiment.seed,
        version=VERSIONS["theory"],
    shell:
        "bench theory --config $CONFIG --threads {threads} 2>&1 | tee -i {log:q} >&2"
