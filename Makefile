# Each target alone does everything on a fresh machine with Python >= 3.11 and a package index.
# PYTHON=python3.12 make figures   chooses another Python; ARGS="--only WI-F12" is passed on to the command.
# make figures FORMULATION=native  computes all runs so, and leaves figures/ alone: they are in .runs/out/laptop-native.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
ARGS ?=
FORMULATION ?=

.DEFAULT_GOAL := help
.PHONY: help figures study test lint bench latency native lab notebooks site clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

figures: $(READY)  ## regenerate every table and figure from real runs at the laptop profile
	$(BIN)/python -m nas_core figures $(if $(FORMULATION),--formulation $(FORMULATION)) $(ARGS)

study: $(READY)  ## make the studies that go beyond the papers, from runs of their own: figures/study
	$(BIN)/python -m nas_core figures --study $(if $(FORMULATION),--formulation $(FORMULATION)) $(ARGS)

test: $(READY)  ## every test, and every notebook executed small and validated
	NAS_PROFILE=smoke $(BIN)/python -m pytest -n 2 --dist loadscope --nbval-lax --nbval-current-env tests notebooks $(ARGS)

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## time the formulations of the supernet against each other, on one core and on two
	OMP_NUM_THREADS=2 $(BIN)/python tests/bench.py $(ARGS)

latency: $(READY)  ## measure what every block of the chains takes on this machine, about a minute, into .runs/latency.json
	OMP_NUM_THREADS=1 $(BIN)/python -m nas_core latency $(ARGS)

native: $(READY)  ## build the supernet's stages in C++, for FORMULATION=native, twice as fast; needs g++ or clang
	$(BIN)/python -m nas_core native

lab: $(READY)  ## open JupyterLab on the notebooks
	$(BIN)/python -m nas_core.driver.lab $(ARGS)

notebooks: override FORMULATION :=
notebooks: figures  ## refresh the committed notebooks from an executed laptop run
	$(BIN)/python -m nas_core notebooks

site: $(READY)  ## build the site from the committed notebooks and figures; open build/site/index.html
	rm -rf notebooks/site/api
	$(BIN)/python -m sphinx -q -b html -c notebooks/site -d build/doctrees notebooks build/site

clean:  ## remove the environment and all caches; records (.runs) and figures stay
	rm -rf $(VENV) build notebooks/site/api *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find nas_core tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "make: Python >= 3.11 is needed and '$(PYTHON)' is not one; name one, as in: make figures PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: '$(PYTHON)' has no venv module; install it (Debian: python3-venv) or name another with PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@
