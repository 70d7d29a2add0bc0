# Lineup's commands; `make help` lists them. Needs Python 3.11+ and make, nothing else.

PYTHON ?= python3
VENV ?= .venv
LS_VENV ?= .venv-label-studio
SDK_VENV ?= .venv-sdk
ONCE ?=
KIND ?= choices
PYTEST_ARGS ?=
BENCH ?=
DATA ?=
WEIGHTS ?=
BENCH_ARGS ?=

export LS_VENV SDK_VENV
PY := $(VENV)/bin/python
ENVIRONMENT := @$(PYTHON) scripts/environment.py

.DEFAULT_GOAL := help
.PHONY: help setup setup-lineup setup-label-studio setup-sdk demo test lint bench bench-docs clean clean-all

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: setup-lineup setup-label-studio ## make the virtual environments (quick when nothing changed)

setup-lineup:
	$(ENVIRONMENT) $(VENV) requirements-dev.txt -e

setup-label-studio:
	$(ENVIRONMENT) $(LS_VENV) requirements-label-studio.txt

setup-sdk:
	$(ENVIRONMENT) $(SDK_VENV) requirements-sdk.txt

demo: setup ## Label Studio and Lineup with real images, until Ctrl-C; ONCE=1 plays the people too and ends; KIND=segmentation has masks
	@$(PY) -m demo --kind $(KIND) $(if $(filter-out 0,$(ONCE)),--once)

test: setup setup-sdk lint ## lint, and the whole test suite against a real Label Studio
	@$(PY) -m pytest $(PYTEST_ARGS)

lint: setup-lineup ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: setup ## measure all, or BENCH=audit|embed|suspicion|masks|mask_suspicion|multilabel|loop|load|priority|propagation|scaling|segmentation_probe|segmentation_unet|shards|training; DATA=folder of image sets, WEIGHTS=checkpoint
	@$(PY) -m benchmarks $(BENCH) $(if $(DATA),--data "$(DATA)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(BENCH_ARGS)

bench-docs: setup-lineup ## put the figures of the last measurements into README and docs
	@$(PY) -m benchmarks.readme

clean: ## remove what tests and demo left: caches, the demo's state
	rm -rf .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info var
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

clean-all: clean ## clean, and the virtual environments
	rm -rf $(VENV) $(LS_VENV) $(SDK_VENV)
