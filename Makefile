# `make help` lists the targets. Each works on a bare clone, alone, in any order and again.
#
#   VENV=path     the environment to create or reuse (default .venv)
#   PYTHON=path   the Python that creates it (default: the first on the PATH that is 3.11 or newer)
#   TEST_JOBS=n   how many processes share the tests (default 2)
#   BENCH_ARGS=   arguments of every benchmark script, such as --rounds 5

VENV ?= .venv
TEST_JOBS ?= 2

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)

PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check

DEMO_CONFIG := configs/segformer/segformer_mit-b0_toy.py
DEMO_DIR := work_dirs/demo

# An environment may be shared by several clones: each always runs its own files.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

.PHONY: help env demo test test-slow bench lint clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

# One stamp per set of extras, inside the environment: an install that was cut short is done again, and
# so is one whose requirements have changed since.
RUN := $(VENV)/.mmseg-run
TEST := $(VENV)/.mmseg-test
SLOW := $(VENV)/.mmseg-slow
BENCH := $(VENV)/.mmseg-bench
$(TEST): EXTRAS := [test]
$(SLOW): EXTRAS := [slow]
$(BENCH): EXTRAS := [bench]

$(RUN) $(TEST) $(SLOW) $(BENCH): pyproject.toml setup.py | $(PY)
	@$(PY) -c '$(IS_NEW_ENOUGH)' || { echo "error: $(PY) is older than Python 3.11; give another VENV" >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --upgrade
	@# No build isolation: an environment that already holds everything then needs no network.
	@$(PY) -c 'import setuptools; assert int(setuptools.__version__.split(".")[0]) >= 77' 2>/dev/null \
		|| $(PIP) --quiet --upgrade "setuptools>=77"
	$(PIP) --no-build-isolation --editable ".$(EXTRAS)"
	@touch $@

$(PY):
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer on the PATH; install one, or give PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' || { echo "error: Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -1)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

env: $(RUN) ## create VENV and install the toolbox into it

demo: $(RUN) ## train SegFormer-B0 on drawn street scenes, evaluate it, write overlays (5 minutes on 2 cores)
	@rm -rf $(DEMO_DIR)
	$(PY) tools/make_toy_dataset.py data/toy
	$(PY) tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO_DIR) --seed 0
	$(PY) tools/test.py $(DEMO_CONFIG) $(DEMO_DIR)/latest.pth --work-dir $(DEMO_DIR) --eval mIoU --show-dir $(DEMO_DIR)/overlays
	@echo
	@echo "The demo is done. Everything is under $(DEMO_DIR)/:"
	@echo "  latest.pth      the trained weights"
	@echo "  *.log           the log of the run; *.log.json the same as one JSON object per line"
	@echo "  eval_*.json     the scores of each class"
	@echo "  overlays/       the predictions on the test scenes, in colour; overlays/gray/ as label maps"
	@echo "The scenes themselves are in data/toy/."

test: $(TEST) ## run the tests that take seconds
	$(PY) -m pytest -n $(TEST_JOBS) --dist loadfile -m "not slow"

test-slow: $(SLOW) ## run the tests that take minutes (those of pages want a chromium)
	$(PY) -m pytest -n $(TEST_JOBS) --dist loadfile -m slow

bench: $(BENCH) ## measure the speed on the CPU beside the peers, write docs/benchmarks.md (16 minutes on 2 cores)
	@for name in pipeline train infer eval startup scaling; do \
		echo "== bench_$$name.py"; $(PY) benchmarks/bench_$$name.py $(BENCH_ARGS) || exit 1; done
	$(PY) benchmarks/page.py

lint: $(PY) ## check the style (ruff)
	@$(PY) -m ruff --version >/dev/null 2>&1 || $(PIP) --quiet ruff
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

clean: ## remove what the targets made, except VENV
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis $(DEMO_DIR) data/toy
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
