# `make results/table1.csv` and `make test` need Python >= 3.11 and nothing else: they make .venv
# when it is missing. Any file under results/ can be made so; inside an activated environment
# plain snakemake, dvc and pytest do the same.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: test test-slow lint install report benchmark

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing into .venv. The first time this takes some minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --constraint constraints.txt --editable '.[test]'
	touch $@

TESTS := -m pytest --numprocesses auto --dist loadgroup --no-loadscope-reorder

test: .venv/installed
	$(BIN)/python $(TESTS) -m "not slow"

# The pages of docs/, DVC, the benchmark, and the mending of damaged files: minutes of whole runs.
test-slow: .venv/installed
	$(BIN)/python $(TESTS) -m slow

# What continuous integration checks beside the tests. The tools come with the extra `dev`.
# `snakemake --lint` always asks for a conda environment and so never passes: a test runs it and
# allows this one complaint.
lint: .venv/linters
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflows
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/workflow/test_places.py -k test_lint  # snakemake --lint

.venv/linters: .venv/installed
	$(BIN)/pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

# results/report.html: what the last run of the default experiment made, as one file that needs no network.
report: .venv/installed
	$(BIN)/snakemake --report results/report.html

# results/benchmark.md: the default run from nothing, in a folder of its own, and then some 10
# minutes of measurements.
benchmark: .venv/installed
	$(BIN)/bench benchmark

# Snakemake decides what is up to date, so make always asks it.
results/%: .venv/installed FORCE
	$(BIN)/snakemake --cores all $@

.PHONY: FORCE
FORCE:
