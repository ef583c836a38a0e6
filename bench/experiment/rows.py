"""The rows of a setting: which variants they name, and which heads these need."""

import sys
from collections.abc import Iterable

from bench import covariance
from bench.experiment.resolved import Setting
from bench.experiment.sections import ProcessesSection
from bench.runtime.errors import BenchError, unknown
from bench.solver import SOLVER, SPACINGS


def complete(setting: Setting, name: str, shared_rows: bool, plugins: list[str]) -> Setting:
    """The setting with its variants by name, and with a mode for every head that they need.

    Parameters
    ----------
    setting, name
        The setting and its name.
    shared_rows
        Whether the rows are those of params.yaml for all settings. Then variants are left out if
        the setting does not train their head, and a line on stderr says so.
    plugins
        Classes of other packages. A variant that a row names as package.module:Class is imported
        and added.

    Raises
    ------
    BenchError
        If a variant does not exist, or if none of a process is left.
    """
    rows = {
        process: [_named(text, process, plugins) for text in section.variants]
        for process, section in setting.processes.with_variants()
    }
    learned = {
        variant for names in rows.values() for variant in names if covariance.get(variant).head
    }
    missing = sorted(learned - set(setting.head_names))
    heads = setting.heads
    if heads and heads.default:
        joint = setting.mean.train.heads if setting.mean.train else []
        targets = dict(heads.targets)
        for variant in missing:
            targets[variant] = "imported" if variant in joint else heads.default
        heads, missing = heads.model_copy(update={"default": None, "targets": targets}), []
    if missing and shared_rows:
        print(
            f"settings.{name}: no head is configured for {', '.join(missing)}; their rows are left "
            "out (`default: simple` under heads trains them)",
            file=sys.stderr,
        )
        for process, names in rows.items():
            rows[process] = [variant for variant in names if variant not in missing]
            if not rows[process]:
                raise BenchError(
                    f"processes.{process}.variants: every variant needs a head that is not "
                    "configured; expected another variant, or `default: simple` under heads"
                )
    sections = {
        process: {**section.model_dump(), "variants": list(dict.fromkeys(rows[process]))}
        for process, section in setting.processes.with_variants()
    }
    sections[SOLVER] = setting.processes.solver
    processes = ProcessesSection.model_validate(sections)
    return setting.model_copy(update={"heads": heads, "processes": processes})


def _named(text: str, process: str, plugins: list[str]) -> str:
    """The name of the variant in a row of a process."""
    try:
        if ":" not in text:
            return covariance.get(text).name
        name = covariance.load(text)
    except BenchError as error:
        raise BenchError(f"processes.{process}.variants: {error}") from error
    if text not in plugins:
        plugins.append(text)
    return name


def check(setting: Setting) -> None:
    """BenchError unless every variant of a setting exists, suits its process and has its head."""
    if setting.heads:
        check_heads("heads.targets", setting.heads.targets)
        _check_imported(setting)
    for variant in setting.clip_levels.variants if setting.clip_levels else {}:
        try:
            covariance.get(variant)
        except BenchError as error:
            raise BenchError(f"clip_levels.variants: {error}") from error
    for process, section in setting.processes.with_variants():
        for variant in section.variants:
            try:
                covariance.check(variant, process, setting.head_names)
            except BenchError as error:
                raise BenchError(f"processes.{process}.variants: {error}") from error
    if setting.processes.solver:
        _check_solvers(setting)


def _is_variant(name):
    try:
        covariance.get(name)
    except BenchError:
        return False
    return True


def _check_solvers(setting: Setting) -> None:
    """BenchError unless every scheduler takes its options, a spacing and the numbers of steps."""
    section, noise_schedule = setting.processes.solver, setting.schedule.make()
    for name in section.solvers:
        try:
            if _is_variant(name):
                raise BenchError("expected another name, as a variant has this one")
            solver = setting.row(SOLVER, name)
            solver.check()
            cells = setting.grid("samples", SOLVER, name)
            for spacing, K in cells:
                solver.make(spacing, K, noise_schedule)
            for spacing in {spacing for spacing, _ in cells}:
                solver.rehearse(spacing, min(setting.samples.K), noise_schedule)
        except BenchError as error:
            raise BenchError(f"processes.{SOLVER}.solvers.{name}: {error}") from error
        if not cells:
            taken = filter(solver.takes, SPACINGS)
            raise BenchError(
                f"processes.{SOLVER}.spacings: {name} takes none of {', '.join(section.spacings)}; "
                f"expected one of {', '.join(taken)}"
            )


def _check_imported(setting: Setting) -> None:
    """BenchError for an imported head if the mean model is trained here, and not with this head, or
    for one that is trained with the mean model and then once more.
    """
    if setting.mean.train is None:
        return
    for name in setting.mean.train.heads:
        mode = setting.heads.targets.get(name, "imported")
        if mode != "imported":
            raise BenchError(
                f"heads.targets.{name}: expected imported, as mean.train.objective "
                f"{setting.mean.train.objective} trains it with the mean, found {mode}"
            )
    for name in setting.heads.imported:
        if name not in setting.mean.train.heads:
            raise BenchError(
                f"heads.targets.{name}: imported, but the mean model is trained here; expected a "
                "mode to train it in, or for improved_ddpm mean.train.objective: hybrid"
            )


def check_heads(key: str, names: Iterable[str]) -> None:
    """BenchError unless every name is that of a variant with a head.

    key: of the configuration, for the message.
    """
    known = covariance.head_names()
    for name in names:
        if name not in known:
            raise BenchError(f"{key}.{name}: {unknown('head', name, known)}")
