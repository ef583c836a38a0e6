"""The default experiment."""

from bench.experiment import loading
from tests.helpers.runs import ROOT

RAW = loading.read_yaml(ROOT / "params.yaml")  # as params.yaml has it, without its settings' files
