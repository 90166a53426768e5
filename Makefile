# A fresh machine needs python3.11 (or a later python3) with venv, and make.
#
#   make demo    run every example twice: without a cache, then with it
#   make test    run the test suite in random order
#
# Each target installs its dependencies into .venv, which is rebuilt when pyproject.toml changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PYTEST_ARGS ?= -n auto --maxprocesses=4
STRESS ?= 10
DEMO_ARGS ?=
TRACES ?=

MUTANTS_ARGS ?=
PYTHONS ?= 3.11 3.12 3.13 3.14
LOWEST_ARGS ?= -n auto --maxprocesses=4 tests/unit tests/contract

RANDOM_TESTS := tests/system/test_histories.py tests/property/test_simulated_schedules.py

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
READY := $(VENV)/.ready
SOURCES := aiocache_pe tests examples benchmarks

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test stress mutants pythons lowest build docs cov cov-report lint format types arch bench \
	bench-quick clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY)-demo  ## run every example twice and print the hit rate
	$(BIN)/python -m examples $(DEMO_ARGS)

test: $(READY)-test $(READY)-demo $(READY)-lint  ## run the test suite in random order
	$(BIN)/python -m pytest $(PYTEST_ARGS)

stress: $(READY)-test  ## try random histories and schedules for minutes; STRESS=100 for hours
	AIOCACHE_STRESS=$(STRESS) $(BIN)/python -m pytest -s $(RANDOM_TESTS)

mutants: $(READY)-test  ## count how many small faults the tests catch; MUTANTS_ARGS="--count 50 keys"
	$(BIN)/python -m tests.support.mutants $(MUTANTS_ARGS)

pythons: $(PYTHONS:%=python-%)  ## run the test suite with each Python on PATH or of pyenv

# A shim of pyenv is on PATH also for a version that is not active, so each candidate must start.
python-%:
	@for python in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$*.*/bin/python python$*; do \
	    if "$$python" -c 'import venv' 2>/dev/null; then \
	        "$$python" -VV; \
	        exec $(MAKE) test VENV=.venv-$* PYTHON="$$python"; \
	    fi; \
	done; \
	echo "python$* is not installed; its tests are not run"

lowest: $(READY)-release  ## run unit and contract tests with the lowest versions of all dependencies
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest --resolution lowest-direct \
	    --editable '.[httpx,httpx2,langchain,numpy,zstd]' --group test
	.venv-lowest/bin/python -m pytest $(LOWEST_ARGS)

build: $(READY)-release  ## make wheel and sdist, check them, and run the README from the wheel
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m tests.support.distribution dist

docs: $(READY)-docs  ## build the documentation site in build/docs; a broken link fails
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs build/docs

cov: PYTEST_ARGS += --cov --cov-report=
cov: test cov-report  ## run the suite and check the coverage threshold

cov-report:
	$(BIN)/python -m coverage report

lint: $(READY)-lint  ## check style, docstrings and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(READY)-lint  ## format the code and sort imports
	$(BIN)/ruff check --fix-only --select I $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: $(READY)-lint $(READY)-test $(READY)-demo  ## check types with mypy and pyright
	$(BIN)/mypy --strict
	$(BIN)/pyright

arch: $(READY)-test  ## check the levels of imports, docstrings and prose
	$(BIN)/python -m pytest tests/architecture

bench: $(READY)-bench  ## measure against other caches; TRACES=FOLDER adds hit ratios
	$(BIN)/python -m benchmarks
	$(if $(TRACES),$(BIN)/python -m benchmarks.traces "$(TRACES)")

bench-quick: $(READY)-bench  ## measure all rows in about two minutes, for a first look
	$(BIN)/python -m benchmarks --quick

clean:  ## remove all generated files
	rm -rf $(VENV) .venv-* data .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* dist build
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# pip 25.1 is the first version with dependency groups.
$(READY): pyproject.toml
	@echo "creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is required; set PYTHON= to one")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install --editable .
	@touch $@

$(READY)-%: $(READY)
	@echo "installing the dependencies of '$*'"
	@$(PIP) install --group $*
	@touch $@
