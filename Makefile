# Everything runs in .venv, which the first target that needs it makes: with uv if it is here, else
# with venv and pip. Nothing is installed outside this folder.
PYTHON ?= python3
EXTRAS ?= dev
# Processes that run the tests: many of them wait for leases and time-outs, so one more than two cores.
# Modules are begun in their order: by number of tests, those of few long ones would come last.
JOBS ?= 3
BIN := .venv/bin
READY := .venv/.ready
# Notebooks are run from top to bottom and every output compared, in their small size.
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg \
  --nbval-cell-timeout 120 --timeout 0 -p no:cacheprovider
# JupyterLab refuses to run as root unless it is told that this is meant (a container, say).
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup demo test lab notebooks labs check bench docs clean

help:            ## list the targets
	@grep -E '^[a-z]+: .*##|^[a-z]+:  +##' Makefile | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 12

setup: $(READY)  ## make .venv and install miniqueue with all its extras

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "miniqueue needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 setup"; exit 1; }
	@echo "setting up .venv (once) ..."
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
	  uv pip install --quiet --python $(BIN)/python -e '.[$(EXTRAS)]'; \
	else \
	  $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'; \
	fi
	@touch $(READY)

demo: $(READY)   ## run the whole system at 1, 2, 4 and 8 workers and chart it
	@$(BIN)/miniqueue demo

test: $(READY)   ## all tests, the notebooks too
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder
	@MINIQUEUE_CI=1 $(BIN)/python -m pytest $(NBVAL) notebooks

lab: $(READY)    ## open JupyterLab: the first notebook, beside it a live dashboard
	@$(BIN)/jupyter lab workspaces import notebooks/course.jupyterlab-workspace
	@$(BIN)/jupyter lab $(ROOT) --ServerApp.base_url=/ --LabApp.default_url=/lab/workspaces/course

notebooks: $(READY)  ## run all notebooks from top to bottom and store their outputs
	@$(BIN)/python -m miniqueue.classroom.renew notebooks/*.ipynb

labs: $(READY)   ## write the learners' notebooks of labs/ anew from their sources
	@$(BIN)/python -m miniqueue.classroom.labs

check: $(READY)  ## lint and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy miniqueue tests docs benchmarks

bench: $(READY)  ## a short version of the benchmarks; PEERS=rq,miniqueue: with these peers alone
	@for script in limits drain enqueue latency http_api memory depth fairness anatomy; do \
	  echo; echo "== $$script.py --quick"; \
	  $(BIN)/python benchmarks/$$script.py --quick --out out || exit 1; done
	@$(BIN)/python benchmarks/peers.py --quick $(if $(PEERS),--peers $(PEERS)) --out out
	@$(BIN)/python benchmarks/scaling.py --workers 1,2,4 --repeats 1 --out out

docs: $(READY)   ## write the generated pages of docs/ anew
	@$(BIN)/python docs/generate.py

clean:           ## remove .venv, caches and outputs
	rm -rf .venv out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
