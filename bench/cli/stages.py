"""The stages as commands. A rule of the workflow runs one; so can a person."""

import click

from bench.cli.options import command, process, say_written, setting, shard, stage, threads


@command("bench thresholds")
def thresholds() -> None:
    """Compute thresholds and bounds of σ_2² from the schedules alone: results/table3.csv."""
    from bench.stages.reporting import write_thresholds

    write_thresholds()
    say_written("thresholds")


STAGES = (
    stage(
        "bench data --setting digits",
        "bench.stages.preparation:prepare_data",
        "Read a data set and split it: results/SETTING/data/.",
        setting,
    ),
    stage(
        "bench mean --setting digits",
        "bench.stages.networks:train_mean",
        "Train or import the mean model: results/SETTING/mean/.",
        setting,
        threads,
    ),
    stage(
        "bench extractor --setting digits",
        "bench.stages.networks:prepare_extractor",
        "Prepare the feature extractor of the scores: results/SETTING/extractor/.",
        setting,
        threads,
    ),
    stage(
        "bench moments --setting digits",
        "bench.stages.estimation:estimate_moments",
        "Estimate the moments of the mean model at every step: results/SETTING/moments/.",
        setting,
        shard,
        threads,
    ),
    stage(
        "bench heads --setting digits",
        "bench.stages.networks:train_heads",
        "Train the heads of learned variants on the frozen mean model: results/SETTING/heads/.",
        setting,
        threads,
    ),
    stage(
        "bench trajectories --setting digits --kind even",
        "bench.stages.trajectories:choose_trajectories",
        "Choose the steps of every trajectory and K: results/SETTING/trajectories/.",
        setting,
        click.option(
            "--kind",
            metavar="NAME",
            show_default="every kind of the grid",
            help="even, even_ddim, quadratic_ddim or optimal.",
        ),
    ),
    stage(
        "bench bound --setting digits",
        "bench.stages.evaluation:evaluate_bound",
        "Evaluate the bound on −log p of every cell, in bits/dim: results/SETTING/bound.parquet.",
        setting,
        shard,
        threads,
    ),
    stage(
        "bench bound_2m --setting digits",
        "bench.stages.evaluation:evaluate_second_order_bound",
        "Evaluate the bound of the second-order chain, ddpm_2m: results/SETTING/bound_2m.parquet.",
        setting,
        shard,
        threads,
    ),
    stage(
        "bench variances --setting digits",
        "bench.stages.evaluation:measure_variances",
        "Measure the variances themselves, for figures: results/SETTING/variances.parquet and "
        "variance_maps.npz.",
        setting,
        threads,
    ),
    stage(
        "bench samples --setting digits --process ddpm",
        "bench.stages.sampling:draw_samples",
        "Draw the samples of one process that are missing: results/SETTING/samples/PROCESS/.",
        setting,
        process,
        click.option(
            "--needs",
            metavar="WHAT",
            show_default="all variants",
            help="Sample only the variants that need this: nothing, moments or heads.",
        ),
        shard,
        threads,
    ),
    stage(
        "bench reference --setting digits",
        "bench.stages.scoring:extract_reference",
        "Extract features of real images, for the scores: results/SETTING/reference.json.",
        setting,
        shard,
        threads,
    ),
    stage(
        "bench fidelity --setting digits --process ddpm",
        "bench.stages.scoring:score_samples",
        "Score the samples of one process: results/SETTING/fidelity/PROCESS.json.",
        setting,
        process,
        shard,
        threads,
    ),
    stage(
        "bench cells",
        "bench.stages.reporting:gather_cells",
        "Gather what was measured, with published numbers beside it: results/cells.csv, "
        "paired.csv, reproduction.csv and reproduction.md.",
    ),
    stage(
        "bench tables",
        "bench.stages.reporting:write_tables",
        "Write table1.csv, .md and .tex, table2.csv and metrics.json from results/cells.csv.",
    ),
    stage(
        "bench figures --setting digits",
        "bench.stages.drawing:draw_figures",
        "Draw the figures: results/figures/SETTING/NAME.svg and .png.",
        setting,
    ),
    stage(
        "bench study --config results/draws-tables/config.yaml",
        "bench.stages.reporting:summarise_study",
        "Take the means over the repeated settings of a study: study.csv and study.png.",
    ),
    thresholds,
    stage(
        "bench theory --threads 1",
        "bench.stages.verification:check_theory",
        "Check the papers' claims on a Gaussian mixture with known answers: results/theory.csv.",
        threads,
    ),
)

HOUSEKEEPING = (
    stage(
        "bench store",
        "bench.report.store:prepare",
        "Create the MLflow store and its experiments, before parallel jobs write to it.",
    ),
)
