# The benchmark as a DAG. Targets: results/table1.csv (everything), results/table3.csv (schedules alone),
# results/<setting>/bound.parquet, … ; one file of rules a stage in workflows/rules/.

configfile: f"{workflow.basedir}/params.yaml"

include: "workflows/rules/common.smk"
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
        "results/table1.csv",
        "results/table3.csv",


onstart:
    start()


onsuccess:
    announce(STARTED)
