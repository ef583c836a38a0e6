"""Where the files of the data sets come from, and how to download them.

If a reader's files can be downloaded, its `DOWNLOADS` lists them: {source: [(address, {kind of
checksum: value})]}, the official source first. If they cannot, its `PLACE` says which files are
needed and where a person finds them.
"""

import shlex
from pathlib import Path

from bench.data import dataset
from bench.runtime import download, plugins
from bench.runtime.errors import BenchError, unknown


def fetch(name: str, folder: str | Path, source: str | None = None) -> list[Path]:
    """Downloads the files of the data set `name` to `folder`. Returns their paths.

    Files that are there are kept. source: one of the reader's, by default the official one.
    Raises BenchError if the data set has no download (the error says where to find it), if the
    source is unknown, or as `bench.runtime.download.fetch` does.
    """
    is_known = name in dataset.READERS or plugins.is_outside(dataset.GROUP, name)
    sources, place = _of(name) if is_known else (None, None)
    if sources is None and place is None:
        raise unknown("data set to download", name, filter(_needs_files, dataset.READERS))
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
        other = next((other for other in sources if other != source), None)
        if other is None:
            raise
        retry = shlex.join(["bench", "fetch", name, "--from", other, "--into", str(folder)])
        raise BenchError(f"{error}; try: {retry}") from error


def listed() -> str:
    """A line for each data set that needs files: its name, and where the files come from."""
    lines = []
    for name in filter(_needs_files, dataset.READERS):
        sources, place = _of(name)
        origin = f"--from {' or '.join(sources)}" if sources else f"by hand: {place}"
        lines.append(f"  {name:15}{origin}")
    return "\n".join(lines)


def _needs_files(name):
    """Whether a reader says where its files are from."""
    return _of(name) != (None, None)


def _of(name):
    """(DOWNLOADS, PLACE) of a reader; None for each that it does not have."""
    module = dataset.reader(name)
    return getattr(module, "DOWNLOADS", None), getattr(module, "PLACE", None)
