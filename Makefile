# trilb: `make demo` shows it at work, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PY313 := $(shell ls -d $$HOME/.pyenv/versions/3.13.*/bin/python 2>/dev/null | tail -n 1)
WORKERS ?= auto
# Tests marked alone have many processes of their own; two of them at a time are no more than others do.
PAIR ?= 2
PYTEST := python -m pytest -q
TOGETHER := -m "not nightly and not alone"
# Two programs compared by what they do in some milliseconds: what fails beside others is asked once more, by itself.
AGAIN := -n 0 --last-failed --last-failed-no-failures none
TESTS := tests
ALONE := alone

# A copy whose hot modules are compiled (setup.py); the sources stay as they are.
COMPILED := build/compiled

# Tests start a process by the thousand, which takes a quarter longer when every one compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check reference unit unit-h11 unit-3.13 unit-compiled compiled packages bench clean

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

compiled: $(COMPILED)/.built

$(COMPILED)/.built: $(STAMP) setup.py $(shell find trilb peers tests bench conf docs -type f -not -name '*.pyc')
	@rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	@tar -c --exclude=__pycache__ pyproject.toml setup.py README.md LICENSE Makefile ARCHITECTURE.md trilb peers tests bench \
	    conf docs | tar -x -C $(COMPILED)
	cd $(COMPILED) && $(abspath $(BIN))/python setup.py -q build_ext --inplace >build.log 2>&1 || { tail -n 30 build.log; exit 1; }
	@touch $@

unit-compiled: compiled packages
	cd $(COMPILED) && export PYTHONPATH=$(abspath $(COMPILED)) && \
	    { $(abspath $(BIN))/$(PYTEST) -n $(WORKERS) $(TOGETHER) || $(abspath $(BIN))/$(PYTEST) $(AGAIN) $(TOGETHER); } && \
	    { $(abspath $(BIN))/$(PYTEST) -n $(PAIR) -m alone || $(abspath $(BIN))/$(PYTEST) $(AGAIN) -m alone; }

unit: $(STAMP) packages
	$(BIN)/$(PYTEST) -n $(WORKERS) $(TOGETHER) $(TESTS) || $(BIN)/$(PYTEST) $(AGAIN) $(TOGETHER) $(TESTS)
	$(if $(ALONE),$(BIN)/$(PYTEST) -n $(PAIR) -m alone || $(BIN)/$(PYTEST) $(AGAIN) -m alone)

# The suite with `tune.h1.fast-lane off` everywhere: h11 alone does all that is promised. A part of it, by default.
H11 := $(addprefix tests/duel/test_, $(addsuffix .py, headers malformed_requests malformed_responses messages relaxed)) \
    tests/e2e/test_lane_off.py
unit-h11: $(STAMP) packages
	TRILB_TEST_LANE=off $(BIN)/$(PYTEST) -n $(WORKERS) $(TOGETHER) $(H11) || \
	    TRILB_TEST_LANE=off $(BIN)/$(PYTEST) $(AGAIN) $(TOGETHER) $(H11)

unit-3.13: packages
ifneq ($(PY313),)
	$(MAKE) unit VENV=.venv-3.13 PYTHON=$(PY313) ALONE= \
	    TESTS="tests --ignore=tests/duel --ignore=tests/config/test_oracle_config.py"
else
	@echo "no Python 3.13 found with pyenv: the suite runs on $$($(PYTHON) -V) only"
	$(MAKE) unit
endif

# Compiled on one Python, as it is on the other; there without what compares it with HAProxy, side by side. For all of the
# suite on h11 alone: `make unit-h11 H11=tests`.
test: $(STAMP) packages
	@$(MAKE) --no-print-directory -j 2 -O check compiled
	@$(MAKE) --no-print-directory unit-compiled unit-h11 unit-3.13

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	touch $@

# `make bench NAMES="keepalive tcp"` for some; what it writes is not in the copy that it measures.
bench: compiled packages $(VENV)/.bench
	cd $(COMPILED) && PYTHONPATH=$(abspath $(COMPILED)) $(abspath $(BIN))/python -m bench \
	    --result $(abspath bench/results/latest.json) $(NAMES)

clean:
	rm -rf .venv .venv-3.13 .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
