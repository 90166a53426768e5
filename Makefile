# Everything a fresh machine needs is python3.11 (or a later python3) with venv, and make.
#
#   make demo    every example, first without cache, then with it
#   make test    the whole test suite, in random order
#
# Each target installs what it needs into .venv, which is made anew when pyproject.toml changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PYTEST_ARGS ?= -n auto --maxprocesses=4
DEMO_ARGS ?=
TRACES ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
READY := $(VENV)/.ready
SOURCES := aiocache_pe tests examples benchmarks

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test cov lint format types arch bench bench-quick clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY)-demo  ## every example twice: cold, warm, hit rate
	$(BIN)/python -m examples $(DEMO_ARGS)

test: $(READY)-test $(READY)-demo  ## run the whole suite in random order
	$(BIN)/python -m pytest $(PYTEST_ARGS)

cov: $(READY)-test $(READY)-demo  ## run the suite and hold it to the coverage threshold
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest $(PYTEST_ARGS) --cov --cov-report=term

lint: $(READY)-lint  ## check style and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(READY)-lint  ## put format and imports in order
	$(BIN)/ruff check --fix-only --select I $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: $(READY)-lint $(READY)-test $(READY)-demo  ## check types with mypy and pyright
	$(BIN)/mypy --strict
	$(BIN)/pyright

arch: $(READY)-test  ## check that imports only go down, and what else keeps the house in order
	$(BIN)/python -m pytest tests/architecture

bench: $(READY)-bench  ## measure against other caches; TRACES=FOLDER adds hit ratios
	$(BIN)/python -m benchmarks
	$(if $(TRACES),$(BIN)/python -m benchmarks.traces "$(TRACES)")

bench-quick: $(READY)-bench  ## measure all rows in about two minutes, for a first look
	$(BIN)/python -m benchmarks --quick

clean:  ## remove all that was made here
	rm -rf $(VENV) data .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* dist build
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# The library itself; pip before 25.1 does not know dependency groups.
$(READY): pyproject.toml
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one with PYTHON=")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install --editable .
	@touch $@

$(READY)-%: $(READY)
	@echo "installing what '$*' needs"
	@$(PIP) install --group $*
	@touch $@
