# trilb: `make demo` shows it at work, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PY313 := $(shell ls -d $$HOME/.pyenv/versions/3.13.*/bin/python 2>/dev/null | tail -n 1)
WORKERS ?= auto

.PHONY: demo test check reference unit unit-3.13 packages bench clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	@exec $(BIN)/python -m trilb.demo

# What the tests run beside trilb; only root can install it, everybody else is told what is missing.
packages:
	@sh .ci/packages

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What docs/reference.md says is what the registries hold.
reference: $(STAMP)
	$(BIN)/python -m trilb doc --markdown > docs/reference.md

unit: $(STAMP) packages
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not nightly and not alone"
	$(BIN)/python -m pytest -q -n 0 -m alone

unit-3.13: packages
ifneq ($(PY313),)
	$(MAKE) unit VENV=.venv-3.13 PYTHON=$(PY313)
else
	@echo "no Python 3.13 found with pyenv: the suite ran on $$($(PYTHON) -V) only"
endif

test: packages check unit unit-3.13

bench: $(STAMP) packages
	$(BIN)/python -m bench

clean:
	rm -rf .venv .venv-3.13 .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
