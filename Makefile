# Tally's commands. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := docker/requirements-dev.lock
PACKAGES := schemas collector streams sinks
SOURCES := $(PACKAGES) docker tests
UV := uv==0.13.9
# They wait more than they work: more of them than cores.
WORKERS ?= 5
# Container images set this: here each of a thousand processes would compile anew whatever it imports.
unexport PYTHONDONTWRITEBYTECODE
# The tests on another date: their clock and that of every process they start.
PYTEST = $(BIN)/python $(if $(CLOCK),-m tests.clock "$(CLOCK)" $(BIN)/python )-m pytest

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 26

$(VENV)/.stamp: $(LOCK)
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON): install Python 3.11 or newer (Debian: python3 python3-venv)" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 …" >&2; exit 2; }
	@echo "→ Python packages …"
	@$(PYTHON) -m venv $(VENV) || { echo "error: no venv module: install it (Debian: python3-venv)" >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python $(LOCK)
	@touch $@

.PHONY: setup
setup: $(VENV)/.stamp ## install the pinned Python packages into .venv

.PHONY: run
run: setup ## start the real stack and the services, send events, show what landed, stay up; ONCE=1: then stop
	@exec $(BIN)/python -m docker.local.demo $(if $(ONCE),--once)

.PHONY: test
ifdef ONLY
test: packages ## everything CI runs: lint, types, contracts, all tests on real servers; ONLY="PATH [-k …]": those tests; CLOCK=2028-03-01: on that day
	@$(PYTEST) -q $(ONLY)
else
test: setup
	@$(MAKE) --no-print-directory --jobs=3 lint packages collected || { echo "error: no test was run: what failed before stands above" >&2; exit 1; }
	@failed=0; shown=; others=; trap 'exit 130' INT TERM; \
	trap '[ -z "$$others" ] || kill $$others 2>/dev/null || true; [ -z "$$shown" ] || rm -f $$shown' EXIT; \
	echo "→ tests on real servers: $(WORKERS) workers with servers of their own"; \
	$(PYTEST) -q -n $(WORKERS) --dist loadfile -m "integration and not alone" || failed=$$?; \
	echo "→ the test that loads the machine; in its pauses those that need no server, shown afterwards"; \
	shown=$$(mktemp); nice -n 5 $(PYTEST) -q -n 3 --dist loadfile -m "not integration" >$$shown 2>&1 & others=$$!; \
	$(PYTEST) -q -m alone || failed=$$?; \
	wait $$others || failed=$$?; others=; cat $$shown; exit $$failed
endif

# What fails here would fail in each worker, which finds the tests compiled.
.PHONY: collected
collected: setup
	@echo "→ the tests, collected"
	@found=$$($(BIN)/python -m pytest -q --collect-only 2>&1) || { echo "$$found" | grep -v ::; exit 1; }

.PHONY: packages
packages: setup
	@echo "→ packages of the servers and SDKs"
	@$(BIN)/python -m docker.local fetch kafka clickhouse postgresql prometheus registry geo sdks browser-sdks page-sdks chromium older-node-sdk older-python-sdk retentioneering java-sdks user-agents wrk hostile

.PHONY: lint
lint: setup ## ruff, mypy --strict, import contracts, the schema id list
	@echo "→ lint"
	@$(BIN)/ruff format --quiet --check $(SOURCES) || { echo "error: not formatted: run make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports --no-logo 2>&1 | tail -n 6
	@$(BIN)/python -m schemas ids

.PHONY: format
format: setup ## format and fix what can be fixed
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

.PHONY: test-fast
test-fast: setup ## the inner loop: every test that needs no server, no package and no network, with a fifth of the examples; lint is `make lint`
	@TEST_EFFORT=quick $(BIN)/python -m pytest -q -n 3 --dist loadfile -m "not integration"

.PHONY: bench
bench: setup ## benchmarks: three rounds, one JSON object a line, ratios within this run (12 minutes); options: BENCH=--help
	@$(BIN)/python -m tests.bench $(BENCH)

.PHONY: mutants
mutants: setup ## plant faults one at a time: does a fast test turn red for each promise? (ten minutes); options: MUTANTS=--help
	@nice $(BIN)/python -m tests.mutants $(MUTANTS)

.PHONY: chaos
chaos: setup ## the proof: 1,000,000 events, over 100 kills, outages, suspensions, on real servers (half an hour)
	@$(BIN)/python -m tests.chaos $(CHAOS)

.PHONY: lock
lock: setup ## pin every package anew from pyproject.toml (no addresses in the files)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links --no-annotate pyproject.toml -o docker/requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links --no-annotate --extra dev pyproject.toml -o $(LOCK)

.PHONY: down
down: setup ## end a stack that `make run` or docker.local left running; the data stays
	@$(BIN)/python -m docker.local down

.PHONY: clean-data
clean-data: down ## remove the data of the local stack
	@rm -rf .tally/run

.PHONY: clean
clean: clean-data ## remove everything that was fetched or installed here
	@rm -rf .tally $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
