"""LSUN bedroom: 3033042 training and 300 validation photographs, 3×256×256, 256 levels, in lmdb.

The shorter side of an image is resized to `size` with Pillow's bilinear filter, which widens if an
image shrinks, and the centre is kept: `Resize` and `CenterCrop` in datasets/__init__.py of
https://github.com/ermongroup/ddim, copied by both repositories of Analytic-DPM. (In the databases
the shorter side is 256 already.) As there, test images are the validation images. All training
images are 600 GB as pixels; the published reference statistics of FID are those of 50000 of them.
"""

import contextlib
import io
import itertools
import os
from pathlib import Path

from PIL import Image

from bench.data import images
from bench.data.dataset import Images, Raw, Size
from bench.runtime.errors import BenchError, one_line
from bench.runtime.fields import Count

DATABASES = {"train": "bedroom_train_lmdb", "test": "bedroom_val_lmdb"}
PLACE = (
    "the folders bedroom_train_lmdb and bedroom_val_lmdb, extracted from the zip files that "
    "download.py of https://github.com/fyu/lsun downloads"
)


def read(path: str, size: images.Side = 256, count: Count = 50_000) -> Raw:
    """The images as a `Raw` without labels, in the order of the databases' keys.

    path: the folder with bedroom_train_lmdb and bedroom_val_lmdb. size: pixels on a side. count:
    how many training images are taken, from the first on. Raises BenchError if a database is
    missing or truncated. If an image cannot be decoded, the error comes when it is made, and names
    its key.
    """
    train, test = (
        _photographs(path, name, size, limit)
        for name, limit in zip(DATABASES.values(), (count, None), strict=True)
    )
    return Raw(train=train, test=test, levels=256)


def size(path: str, size: int = 256, count: int = 50_000) -> Size:
    """The size of the part that is taken of the data set, wherever its databases are."""
    return Size((3, size, size), train=min(count, 3_033_042), test=300, labels=False)


def _photographs(path, name, size, limit):
    """The images of a database."""
    where = f"data.path: {path}: {name}"
    with _opened(where, Path(path) / name) as transaction:
        entries = transaction.stat()["entries"]

    def each():
        with _opened(where, Path(path) / name) as transaction:
            for key, value in itertools.islice(transaction.cursor(), limit):
                with images.opened(f"{where}: {ascii(key)[1:]}", io.BytesIO(value)) as image:
                    photograph = images.pixels(_square(image.convert("RGB"), size))
                yield photograph

    return Images((entries if limit is None else min(limit, entries), 3, size, size), each)


def _square(image, size):
    """The centre of an image whose shorter side is resized to `size`; Python rounds half pixels."""
    short = min(image.size)
    width, height = (int(size * side / short) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


@contextlib.contextmanager
def _opened(where, folder):
    """A transaction that reads a database. Raises BenchError for any failure."""
    import lmdb

    if not (folder / "data.mdb").is_file():
        raise BenchError(f"{where}: no such database; expected {PLACE}")
    with (
        one_line(f"{where}: not readable", f"expected {PLACE}"),
        lmdb.open(
            str(folder), readonly=True, lock=False, readahead=False, meminit=False, max_readers=1
        ) as database,
    ):
        # The file is mapped into memory, and touching a page beyond its end would kill the process.
        needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
        if os.path.getsize(folder / "data.mdb") < needed:
            raise BenchError(
                f"{where}: truncated: found {os.path.getsize(folder / 'data.mdb')} bytes, "
                f"expected {needed}"
            )
        with database.begin() as transaction:
            yield transaction
