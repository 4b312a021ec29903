# Each target does everything from nothing: `make serve` and `make test` are the whole set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help serve test lint parity crash bench bench-store bench-detection clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/serve: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@# torch by itself and first: its pin takes the CPU build where one lies on disk, never a newer one with CUDA
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[training]'
	@touch $@

$(VENV)/dev: $(VENV)/serve
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

serve: $(VENV)/serve ## Install, train on simulated payments if no model is active, serve
	@test -f artifacts/active || ( \
	  $(BIN)/counterfoil simulate --out artifacts/simulated/payments.parquet && \
	  $(BIN)/counterfoil train artifacts/simulated/payments.parquet --profile payments )
	@exec $(BIN)/counterfoil serve --host $(HOST) --port $(PORT)

test: $(VENV)/dev ## Run the whole test suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/dev ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

parity: $(VENV)/dev ## 200,000 payments through HTTP and offline, compared bit for bit (half an hour)
	$(BIN)/python -m pytest -p tests.long --long -s tests/app/test_parity.py

crash: $(VENV)/dev ## 60 x kill -9 under load: nothing answered is lost (ten minutes)
	$(BIN)/python -m pytest -p tests.long --long -s tests/app/test_crash.py

bench: $(VENV)/dev ## Time behaviour features, serving and batch scoring
	$(BIN)/python benchmarks/behaviour.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/batch.py

bench-store: $(VENV)/dev ## A million cards: what a write costs, what memory holds, how long a start takes (15 minutes)
	$(BIN)/python benchmarks/store.py

bench-detection: $(VENV)/dev ## Detection beside other methods on ../shared/data
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python benchmarks/detection.py --threads 1
	$(BIN)/python benchmarks/scenarios.py

clean: ## Remove the environment; models and data stay
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
