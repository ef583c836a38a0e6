"""The check of the papers' claims where every answer is known."""

import pandas

from bench.experiment.resolved import Experiment
from bench.report import pages
from bench.runtime import files, paths
from bench.runtime.errors import BenchError
from bench.stages.inputs import one_at_a_time
from bench.theory import claims


@one_at_a_time(lambda experiment: paths.THEORY)
def check_theory(experiment: Experiment) -> None:
    """results/theory.csv, and a page of it for the report.

    BenchError if a verdict is false, after the files are written.
    """
    frame = pandas.DataFrame(claims.check(experiment.seed))
    files.write_csv(paths.THEORY, frame)
    text = pages.markdown(frame, "Claims on a Gaussian mixture")
    files.write_text(paths.THEORY_PAGE, pages.page(text, "theory"))
    failed = frame[~frame.verdict]
    if len(failed):
        raise BenchError(
            f"results/theory.csv: {len(failed)} of {len(frame)} claims do not hold, "
            f"the first: {failed.claim.iloc[0]}"
        )
