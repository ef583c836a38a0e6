"""Where the files of the data sets come from, and the way to have them here.

A reader whose files can be downloaded lists them as `DOWNLOADS`: {source: [(address, {kind of checksum: value})]}, the
first source being the official one; one whose files must be got by hand says in `PLACE` which, and where from.
"""

from pathlib import Path

from bench.data import dataset
from bench.runtime import download
from bench.runtime.errors import BenchError, unknown


def fetch(name, folder, source=None):
    """Downloads the files of the data set `name` to `folder`, where they are not there yet; returns their paths.

    source: one of the reader's (default: the official one). Raises BenchError for a data set without downloads, saying
    where it is to be had, for an unknown source, or as `bench.runtime.download.fetch` does.
    """
    known = {reader for reader in dataset.READERS if _of(reader) != (None, None)}
    if name not in known:
        raise unknown("data set to download", name, known)
    sources, place = _of(name)
    if not sources:
        raise BenchError(f"{name} has no download; place in {folder}: {place}")
    source = source or next(iter(sources))
    if source not in sources:
        raise unknown(f"source of {name}", source, sources)
    try:
        return [
            download.fetch(url, Path(folder) / url.rsplit("/", 1)[1], **checksums)
            for url, checksums in sources[source]
        ]
    except BenchError as error:
        others = " or ".join(other for other in sources if other != source)
        raise BenchError(
            f"{error}; elsewhere: --from {others}" if others else str(error)
        ) from error


def listed():
    """A line for each data set whose files are not part of an installed package: its name, and the sources or the advice."""
    lines = []
    for name in dataset.READERS:
        sources, place = _of(name)
        if sources or place:
            lines.append(
                f"  {name:15}"
                + (f"--from {' or '.join(sources)}" if sources else f"by hand: {place}")
            )
    return "\n".join(lines)


def _of(name):
    """(DOWNLOADS, PLACE) of a reader; None for what it does not have."""
    module = dataset.reader(name)
    return getattr(module, "DOWNLOADS", None), getattr(module, "PLACE", None)
