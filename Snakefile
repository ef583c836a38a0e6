# The benchmark as a DAG; one file of rules a stage in workflows/rules/. Targets:
#   tables                          all tables of the experiment, as the default target `all`
#   results/table1.csv              those of the default experiment
#   measure_<setting>               bounds and scores of one setting
#   results/<setting>/bound.parquet or any other file that results/README.md lists

from snakemake.utils import min_version

min_version("9.17")


configfile: f"{workflow.basedir}/params.yaml"


report: "workflows/report/workflow.rst"


include: "workflows/rules/common.smk"
include: "workflows/rules/report.smk"
include: "workflows/rules/data.smk"
include: "workflows/rules/mean.smk"
include: "workflows/rules/extractor.smk"
include: "workflows/rules/moments.smk"
include: "workflows/rules/heads.smk"
include: "workflows/rules/trajectories.smk"
include: "workflows/rules/bound.smk"
include: "workflows/rules/samples.smk"
include: "workflows/rules/fidelity.smk"
include: "workflows/rules/tables.smk"


STARTED = time.time()


rule all:
    default_target: True
    input:
        rules.tables.input,


onstart:
    start()


onsuccess:
    announce(STARTED)


onerror:
    forget_what_failed()
    repeat_errors(STARTED)
