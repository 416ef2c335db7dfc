# One place for the commands of the README. Every target sets itself up first.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup bench test lint fuzz perf torture readme-results clean

help:
	@echo "make setup   create $(VENV) and install the pinned packages"
	@echo "make bench   compare USER-LLM with its baselines on MovieLens-100K"
	@echo "make test    run the tests"
	@echo "make lint    run ruff, mypy and import-linter"
	@echo "make fuzz    give everything that reads files 100,000 nearly valid inputs"
	@echo "make perf    run the performance comparisons"
	@echo "make torture kill a run 200 times and compare what comes out; fill its disk"
	@echo "make readme-results   write the tables and figures of README and docs from results/reference"
	@echo "make clean   remove $(VENV), caches and build output (results stay)"

setup: $(STAMP)

# The stamp is written last, so an interrupted installation starts again.
$(STAMP): pyproject.toml constraints.txt
	@$(PIP) --version >/dev/null 2>&1 || \
		{ echo "creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing the pinned packages into $(VENV) (minutes, the first time)"
	@$(PIP) install -qq -c constraints.txt -e '.[dev]'
	@touch $@

bench: setup
	$(BIN)/userllm-bench run --task next_item

test: export OMP_NUM_THREADS = 1
test: export MKL_NUM_THREADS = 1
test: setup
	$(BIN)/python -m pytest -q -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: export OMP_NUM_THREADS = 1
fuzz: export POLARS_MAX_THREADS = 1
fuzz: setup
	$(BIN)/python -m tests.fuzz --inputs 100000 --out .fuzz

perf: setup
	$(BIN)/python -m benchmark.perf

# Options of the campaign, for example TORTURE='--kills 50 -- --workers 2'.
torture: setup
	$(BIN)/python -m tests.torture $(TORTURE)
	$(BIN)/python -m tests.torture run --children -- --workers 2
	$(BIN)/python -m tests.torture.full_disk

readme-results: setup
	$(BIN)/python -m benchmark.records.readme_results README.md docs/results.md

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find benchmark userllm baselines tests -name __pycache__ -type d -prune -exec rm -rf {} +
