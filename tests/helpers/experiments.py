"""The default experiment."""

from bench.experiment import strict
from tests.helpers.runs import ROOT

RAW = strict.read(ROOT / "params.yaml")  # as params.yaml has it, without its settings' files
