# make demo   a real workflow on two sandbox backends, from a notebook, without a screen
# make lab    the same place to work, in JupyterLab
# make test   everything that CI checks
#
# All of it lives in $(VENV); PYTHON=python3.13 picks the interpreter that makes it.

VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# nbval takes seconds to load in every process, and only notebooks need it.
TESTS := $(PYTEST) -p no:nbval --timeout 300 --durations 10
LINTED := comfynb tests benchmarks notebooks agent

# Hundreds of processes are started: none shall compile what one before it has compiled.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo lab test lint types layers unit kill browser notebooks bench format clean
.NOTPARALLEL:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(VENV)/.installed
	$(BIN)/comfynb demo

lab: $(VENV)/.installed
	$(BIN)/comfynb lab

test: lint types layers unit kill browser notebooks

lint: $(VENV)/.installed-test
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)

types: $(VENV)/.installed-test
	$(BIN)/mypy
	cd agent && $(abspath $(BIN))/mypy -p comfynb_agent

layers: $(VENV)/.installed-test
	$(BIN)/lint-imports

# The same examples every time, so that a failure in CI is one here too.
unit kill browser notebooks: export COMFYNB_HYPOTHESIS = same

# worksteal: what is next to one another stays with one worker, and so do its servers.
unit: $(VENV)/.installed-test
	tests/setup.sh
	$(TESTS) -n 3 --dist worksteal -m "not browser and not kill" --ignore tests/browser tests

kill: $(VENV)/.installed-test
	$(TESTS) -n 3 --dist worksteal -m kill $$(grep -rl 'mark\.kill' tests --include='test_*.py')

browser: $(VENV)/.installed-test
	tests/setup.sh
	$(TESTS) -n 2 --dist worksteal -m browser tests/browser

# Copies are run, so that what the notebooks write stays out of the tree, and out of one another's way.
notebooks: $(VENV)/.installed-test
	rm -rf build/notebooks
	set -e; for name in $(notdir $(basename $(wildcard notebooks/*.ipynb))); do \
		mkdir -p build/notebooks/$$name; \
		cp notebooks/*.json notebooks/$$name.ipynb build/notebooks/$$name; \
	done
	$(PYTEST) -n 3 --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=300 --timeout=330 build/notebooks

bench: $(VENV)/.installed-test
	set -e; for benchmark in benchmarks/*.py; do $(BIN)/python "$$benchmark"; done

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix $(LINTED)
	$(BIN)/ruff format $(LINTED)

# What make made, never what people made.
clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find comfynb tests benchmarks agent -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml agent/pyproject.toml scripts/install.sh
	scripts/install.sh $(VENV)
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	scripts/install.sh $(VENV) test
	@touch $@
