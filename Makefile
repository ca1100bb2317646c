# tirtrack: `make demo` and `make test` need git, make and Python 3.11+ with venv, and nothing else.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= 2.13.0
# Where PyTorch publishes its CPU builds, asked when pip as set up does not have one.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
JOBS ?= 2

.PHONY: help demo test test-slow test-release lint docs bench experiments clean python
.DELETE_ON_ERROR:

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.installed ## the whole story on the embedded world; ends with the path of a report
	@$(BIN)/tirtrack demo

test: $(VENV)/.installed-test ## the test suite
	OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS)

test-slow: $(VENV)/.installed-test ## what takes longer: endurance, long goldens, experiments in small
	OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) --dist worksteal -m "slow and not release" --timeout 2400 --durations 20

test-release: $(VENV)/.installed-test ## before a release: more cases of what the other two hold
	OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) --dist worksteal -m release --timeout 2400 --durations 20

lint: $(VENV)/.installed-lint ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs ## the pages, as HTML under docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

bench: $(VENV)/.installed-compare $(VENV)/.installed-fast ## speed, as ratios in one run, on an idle machine; JSON under runs/bench
	$(BIN)/python -m benchmarks.all --out runs/bench

experiments: $(VENV)/.installed ## the table of docs/evidence_appendix.md, from ../shared (2 hours)
	$(BIN)/python -m benchmarks.experiments --out runs/experiments

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist docs/_build src/*.egg-info

python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "make: $(PYTHON) was not found; install Python 3.11 or newer, or name one with make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $$($(PYTHON) --version 2>&1) is too old; tirtrack needs Python 3.11 or newer: make PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module; install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }

# The package index gives Linux a torch with gigabytes of CUDA libraries, so the CPU build is
# asked for by name first: as pip is set up, then from PyTorch's own index, then as it comes.
# An environment without a working pip was interrupted while it was made.
$(VENV)/.torch: constraints.txt | python
	@$(PIP) --version >/dev/null 2>&1 || { \
	  if test -f $(VENV)/pyvenv.cfg; then rm -rf $(VENV); fi; $(PYTHON) -m venv $(VENV); }
	@echo "installing torch $(TORCH) (CPU) into $(VENV)"
	@said=$$($(PIP) install -q -c constraints.txt "torch==$(TORCH)+cpu" 2>&1) \
	  || said=$$($(PIP) install -q -c constraints.txt --extra-index-url $(TORCH_CPU_INDEX) "torch==$(TORCH)+cpu" 2>&1) \
	  || { case "$$said" in \
	         *"connection broken"*) why="a package index could not be reached: check the network";; \
	         *) why=$$(echo "$$said" | tail -n 1);; \
	       esac; \
	       echo "no CPU build of torch $(TORCH) was found ($$why); trying the standard build (3 GB and more on Linux)"; \
	       $(PIP) install -q -c constraints.txt "torch==$(TORCH)"; }
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "installing tirtrack into $(VENV)"
	@$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	@$(PIP) install -q -c constraints.txt -e ".[$*]"
	@touch $@
