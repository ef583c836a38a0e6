"""The commands that people use, before and after a run of the workflow."""

import shlex
import sys
from pathlib import Path

import click

from bench.cli import options
from bench.runtime.errors import BenchError


@options.command("bench plan --configfile workflows/experiments/tiny.yaml")
@options.config
@options.configfile
@options.images_per_second
@options.device
@click.option(
    "--gpus",
    metavar="N,N,...",
    help="Simulate the schedule on these numbers of GPUs, all of the speed above: time, critical "
    "path and idle share.",
)
def plan(
    config: str,
    configfile: tuple[str, ...],
    images_per_second: tuple[str, ...],
    device: str | None,
    gpus: str | None,
) -> None:
    """Say what an experiment takes, before anything runs: network passes, samples, disk, time.

    The speed of the networks is measured on this machine in some ten seconds, unless one of
    --images-per-second and --device gives it.
    """
    from bench.experiment import loading

    experiment = loading.load(config, configfile)
    from bench.plan import forecast  # imports torch, which takes seconds
    from bench.runtime import files

    options_of_run = shlex.join(["--configfile", *configfile]) if configfile else ""
    with files.naming_options(options_of_run):
        click.echo(forecast.report(experiment, images_per_second, device, gpus))


@options.command("bench status --configfile workflows/experiments/tiny.yaml")
@options.config
@options.configfile
def status(config: str, configfile: tuple[str, ...]) -> None:
    """Say where a run stands: jobs of each stage that are done, running or failed, and time left.

    It reads files of results/ alone, on any machine that sees them. `stopped` jobs left a log
    without an end. Failed jobs are named below the table, with their errors.
    """
    from bench.experiment import loading
    from bench.plan import status as standing

    click.echo(standing.report(loading.load(config, configfile)))


@options.command("bench profile --device amd-epyc --into my-profile")
@options.config
@options.configfile
@options.images_per_second
@options.device
@click.option("--partition", metavar="NAME", help="Where jobs run.")
@click.option("--gpu-partition", metavar="NAME", help="Where jobs with a GPU run.")
@click.option("--account", metavar="NAME", help="Who pays.")
@click.option(
    "--limit",
    metavar="MINUTES",
    type=click.IntRange(min=1),
    help="The time limit of the partition: no job asks for more.",
)
@click.option(
    "--base",
    metavar="FILE",
    default="workflows/profiles/slurm/config.yaml",
    help="The profile that has everything else.",
)
@click.option("--into", metavar="FOLDER", required=True, help="Where to; a new folder.")
def profile(
    config: str,
    configfile: tuple[str, ...],
    images_per_second: tuple[str, ...],
    device: str | None,
    partition: str | None,
    gpu_partition: str | None,
    account: str | None,
    limit: int | None,
    base: str,
    into: str,
) -> None:
    """Write a profile of Snakemake with the time and memory that the rules of an experiment take.

    The time follows from the network passes that bench plan counts and from their speed on a node,
    which --device or --images-per-second gives; the memory from the sizes. The last line of the
    output runs the experiment with it, on Slurm.
    """
    if Path(into).exists():
        raise BenchError(f"--into: {into}: exists already; expected a new folder")
    from bench.experiment import loading, strict

    experiment = loading.load(config, configfile)
    written = strict.read(base)
    import yaml

    from bench.plan import profile as profiles  # imports torch, which takes seconds
    from bench.runtime import files

    made = profiles.make(
        experiment, written, images_per_second, device, partition, gpu_partition, account, limit
    )
    files.write_text(Path(into) / "config.yaml", yaml.safe_dump(made, sort_keys=False))
    words = ["--configfile", *configfile] if configfile else []
    click.echo(shlex.join(["snakemake", "tables", "--profile", into, *words]))


@options.command("bench config --output resolved.yaml")
@options.config
@options.configfile
@click.option("--output", metavar="FILE", show_default="print it", help="Where to write it.")
def config(config: str, configfile: tuple[str, ...], output: str | None) -> None:
    """Validate an experiment and write it resolved, with the file of every setting read in.

    A key that params.yaml has not: `only`, of an overlay or of snakemake's --config, lists patterns
    SETTING/PROCESS/VARIANT/TRAJECTORY/K10 of the cells that are measured. Parts may be absent.

    The output replaces a file, but no folder, link or device.
    """
    from bench.experiment import loading
    from bench.runtime import files

    experiment = loading.load(config, configfile)
    if output is not None:
        files.check_new(output, "--output")
    loading.write(experiment, output)


class _Fetch(click.Command):
    """`bench fetch`. Its help lists the data sets, and only this help imports their readers."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from bench.data import sources

        formatter.write(f"\nData sets:\n{sources.listed()}\n")
        super().format_epilog(ctx, formatter)


@options.command("bench fetch cifar10", cls=_Fetch)
@click.argument("dataset")
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    show_default="the official one",
    help="Where from, if the data set has several sources.",
)
@click.option("--into", metavar="FOLDER", show_default="datasets/DATASET", help="Where to.")
def fetch(dataset: str, source: str | None, into: str | None) -> None:
    """Download the files of a data set, or say where to get them.

    If a download was cut off, the same command continues it. The last line of the output is the
    key for the setting's file.
    """
    from bench.data import sources

    folder = into or f"datasets/{dataset.replace(':', '.')}"
    sources.fetch(dataset, folder, source)
    click.echo(f"data.path: {folder}")


@options.command("bench import model.pth --format pytorch_diffusion", name="import")
@click.argument("file")
@click.option(
    "--format",
    "format_",
    metavar="NAME",
    required=True,
    help="Who wrote it: improved_diffusion, pytorch_diffusion, or a format of another package.",
)
@click.option(
    "--into",
    metavar="FOLDER",
    show_default="FILE without its ending",
    help="Where to; a new folder.",
)
@click.option(
    "--option",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="A key of mean.published: first_timestep=1, attention_heads=4, md5=DIGITS, "
    "heads.npr=FILE, heads.sn=FILE. May be given several times.",
)
def import_mean(file: str, format_: str, into: str | None, assignments: tuple[str, ...]) -> None:
    """Convert a network that others published, FILE, to a folder for mean.checkpoint.

    FILE is a .pt, .pth or .ckpt file with a state dict. The folder holds the network, its
    timesteps and its heads. The last line of the output is the key for the setting's file.
    """
    from bench.experiment import loading
    from bench.mean import published, storage

    keys = {"format": format_, "path": file, **loading.assignments(assignments, "--option")}
    section = loading.published(keys)
    folder = Path(into or Path(file).with_suffix(""))
    if folder.exists():
        raise BenchError(f"--into: {folder}: exists already; expected a new folder")
    storage.save(folder=folder, **published.read(section))
    click.echo(f"mean.checkpoint: {folder}")


@options.command("bench export digits npr --steps 10 --into npr-10")
@options.config
@options.configfile
@click.argument("setting")
@click.argument("variant")
@click.option(
    "--process",
    "process_name",
    metavar="NAME",
    default="ddpm",
    help="The process: ddpm, ddim, ddpm_2m or ddim_2m.",
)
@click.option(
    "--steps",
    "count",
    metavar="K",
    type=click.IntRange(min=1),
    required=True,
    help="The number of steps. It may be one that the grid has not.",
)
@click.option(
    "--trajectory",
    metavar="NAME",
    default="even",
    help="Which K steps: even, even_ddim, quadratic_ddim, or optimal if the row has one.",
)
@click.option("--into", metavar="FOLDER", required=True, help="Where to; a new folder.")
def export(
    config: str,
    configfile: tuple[str, ...],
    setting: str,
    variant: str,
    process_name: str,
    count: int,
    trajectory: str,
    into: str,
) -> None:
    """Write a row of a finished run as a pipeline of diffusers, with its network.

    Its samples are those of the harness on the same noise. The last lines of the output load it.
    """
    if Path(into).exists():
        raise BenchError(f"--into: {into}: exists already; expected a new folder")
    from bench.experiment import loading
    from bench.stages import exporting

    experiment = loading.load(config, configfile)
    exporting.export_pipeline(
        experiment, setting, variant, process_name, trajectory, count, Path(into)
    )
    click.echo("import bench.diffusers, diffusers")
    click.echo(f"pipeline = diffusers.DiffusionPipeline.from_pretrained({into!r})")
    click.echo(f"images = pipeline(batch_size=16, num_inference_steps={count}).images")


@options.command("bench compare before results/tiny-tables")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@options.errors("How many joint errors two values may be apart. 0 asks for equal ones.")
@click.option(
    "--renew",
    is_flag=True,
    help="Write the cells of B to the file A, unless one moved while its version did not.",
)
def compare(before: str, after: str, errors: float, renew: bool) -> None:
    """List the cells that differ between two runs: those that moved, appeared or went.

    A and B are folders of tables, or cells.csv files. A cell moved if |a − b| > N √(SE_a² + SE_b²),
    or, without a standard error, if a ≠ b. The exit code is 1 if a cell moved. `moved, same
    version` is a number that changed while the versions of the code behind it did not.
    """
    from bench.report import comparison
    from bench.runtime import files

    if renew and Path(before).is_dir():
        raise BenchError(f"--renew: {before}: expected a file of expected cells, found a folder")
    old, new = comparison.read(before), comparison.read(after)
    rows = comparison.compare(old, new, errors)
    if len(rows):
        click.echo(comparison.markdown(rows) + "\n")
    click.echo(comparison.summary(rows, len(old.index.intersection(new.index))))
    if renew and comparison.UNVERSIONED not in set(rows.change):
        files.write_csv(before, new.reset_index())
        click.echo(f"{before}: renewed")
    elif rows.change.isin([comparison.MOVED, comparison.UNVERSIONED]).any():
        sys.exit(1)


@options.command("bench log results")
@click.argument("folder", metavar="RESULTS")
def log(folder: str) -> None:
    """Send finished tables to MLflow: to MLFLOW_TRACKING_URI, by default sqlite:///mlflow.db.

    RESULTS is results/ or results/NAME-tables/, here or in another folder. A run of the workflow
    ends with it. A second time it changes nothing.
    """
    from bench.report import address, view
    from bench.stages import sending

    count, pages = sending.log_runs(Path(folder))
    click.echo(f"bench log: {address.shown()}: runs added or changed: {count}")
    click.echo(f"To see them: {view.how_to_open(next(iter(pages.values())))}")


@options.command("bench fid my/samples --setting cifar10_ls")
@click.argument("images", metavar="IMAGES")
@click.option(
    "--setting",
    "entry",
    metavar="NAME",
    required=True,
    help="A setting of the experiment or of workflows/settings/, or the path of one.",
)
@options.config
@options.configfile
@options.threads
def fid(images: str, entry: str, config: str, configfile: tuple[str, ...], threads: int) -> None:
    """Score images that others drew: FID, KID and the other metrics, by a setting's protocol.

    IMAGES is a folder of png, jpg, webp and bmp files, or an npz file with a uint8 array (n,
    channels, height, width) or (n, height, width, channels). The images have the shape and levels
    of the setting's data: none is resized. Data, extractor and reference are prepared if they are
    not in results/SETTING/. The protocol is printed below the scores.
    """
    from bench.experiment import loading

    experiment, name, run_options = loading.load_with(config, configfile, entry)
    options.set_threads(threads)
    import pandas

    from bench.runtime import files
    from bench.stages import imported

    with files.naming_options(shlex.join(run_options)):
        rows, protocol = imported.score_images(experiment, name, images)
    table = pandas.DataFrame(rows)[["metric", "value", "stderr", "n"]].astype(str)  # all digits
    click.echo(table.to_markdown(index=False, disable_numparse=True) + "\n")
    for what, words in protocol.items():
        click.echo(f"{what}: {words}")


@options.command("bench merge results/tiny-tables results/few-tables --into merged")
@click.argument("places", metavar="A B ...", nargs=-1, required=True)
@click.option("--into", metavar="FOLDER", required=True, help="Where to; a new folder.")
@options.errors("How many joint errors two values of a cell may be apart.")
def merge(places: tuple[str, ...], into: str, errors: float) -> None:
    """Join the results of several people or machines into one set of tables.

    A, B, … are folders of tables, or cells.csv files. The column `source` of the new cells.csv says
    where each cell is from. A cell that several have is that of the first. It is an error if they
    disagree (see bench compare), or if the cells of a setting and metric are not of one reference,
    extractor, precision, number of images and version of every stage.
    """
    if Path(into).exists():
        raise BenchError(f"--into: {into}: exists already; expected a new folder")
    from bench.stages import reporting

    reporting.merge_results(places, Path(into), errors)
    click.echo(f"{into}/table1.md")


@options.command("bench plots-page")
def plots_page() -> None:
    """Make the page in which DVC draws plots, .dvc/plots/page.html, which needs no network.

    A run of the workflow does so too. Without one it is needed before dvc plots.
    """
    from bench.report import plots_page as page

    page.write()
    click.echo(f"bench plots-page: wrote {page.PLACE}")


@options.command("bench benchmark")
def benchmark() -> None:
    """Measure how much longer the default run takes than its networks: results/benchmark.md.

    It makes a default run from nothing and then measures for about ten minutes.
    """
    from bench.benchmark import report

    report.benchmark()
