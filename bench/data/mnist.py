"""MNIST: 70000 handwritten digits, 1×28×28 with 256 grey levels and ten classes, in its four idx files."""

from bench import idx

SERVER = "https://ossci-datasets.s3.amazonaws.com/mnist"
DOWNLOADS = idx.downloads(SERVER, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
                          "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c")
size = idx.size  # as `read`, it is the family's


def read(path: str):
    """The data set as a `Raw`, in the order of the files; `path` is the folder that holds them, gzipped or not.

    Raises BenchError where one is missing, truncated, or holds anything but what is expected.
    """
    return idx.dataset(path, "http://yann.lecun.com/exdb/mnist/")
