"""Results in a storage of Snakemake: an S3 server on this machine, in the memory of the test."""

import pandas
import pytest
from moto.server import ThreadedMotoServer

from tests.helpers.runs import TABLES, TINY, snakemake

PREFIX = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://bench/tiny"]
REGION = ["--storage-s3-region", "us-east-1"]
KEYS = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "any", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "any"}


@pytest.fixture
def storage():
    """The options of Snakemake for the storage."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    yield [*PREFIX, *REGION, "--storage-s3-endpoint-url", f"http://127.0.0.1:{port}"]
    server.stop()


def test_a_run_that_has_a_storage_reads_nothing_of_the_folder(tmp_path, storage):
    """A table that follows from published numbers: what it reads is part of the package."""
    found = snakemake(tmp_path, "results/table3.csv", *storage, **KEYS)
    assert found.returncode == 0, found.stderr[-3000:]
    assert not (tmp_path / "results").exists()
    again = snakemake(tmp_path, "results/table3.csv", *storage, **KEYS)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tables_are_those_of_a_run_without_a_storage(tiny_run, tmp_path, storage):
    options = ["--configfile", str(TINY), *storage]
    found = snakemake(tmp_path, "tables", "--keep-storage-local-copies", *options, **KEYS)
    assert found.returncode == 0, found.stderr[-3000:]
    (staged,) = tmp_path.glob(f".snakemake/storage/s3/bench/tiny/{TABLES}")
    values = ["process", "variant", "trajectory", "K", "metric", "value"]
    here, there = (
        pandas.read_csv(folder / "cells.csv")[values] for folder in (staged, tiny_run / TABLES)
    )
    pandas.testing.assert_frame_equal(here, there)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = snakemake(elsewhere, "tables", *options, **KEYS)
    assert "Nothing to be done" in found.stdout + found.stderr
    # What no rule declares is not sent. The error names it, and the storage.
    scores = "results/tiny/fidelity/ddim.json"
    found = snakemake(elsewhere, scores, *options, "--forcerun", scores, **KEYS)
    assert found.returncode == 1
    assert "results/tiny/reference.json: found no record of it" in found.stderr
    assert "--default-storage-prefix s3://bench/tiny" in found.stderr
