"""Fashion-MNIST: 70000 pieces of clothing, 1×28×28, 256 grey levels, ten classes, as idx files."""

from bench.data import idx
from bench.data.dataset import Raw

SERVER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
DOWNLOADS = {
    "official": idx.downloads(
        SERVER,
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "debian": [
        (
            "https://deb.debian.org/debian/pool/main/d/dataset-fashion-mnist/"
            "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
            {"sha256": "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"},
        )
    ],
}
size = idx.size  # the same for the whole family


def read(path: str) -> Raw:
    """The data set as a `Raw`, in the order of the files.

    path: the folder that holds them, gzipped or not, such as /usr/share/datasets/fashion-mnist of
    the Debian package dataset-fashion-mnist; or that package's file (.deb), or a folder with it.
    Raises BenchError if a file is missing, truncated, or not as expected.
    """
    return idx.dataset(
        path,
        "https://github.com/zalandoresearch/fashion-mnist",
        "usr/share/datasets/fashion-mnist",
        ["dataset-fashion-mnist_*.deb"],
    )
