"""What an experiment takes, before anything of it runs."""

from bench.plan.forecast import report

__all__ = ["report"]
