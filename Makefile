# Each target does everything from nothing: `make serve` and `make test` are the whole set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)/tools/bin
HOST ?= 127.0.0.1
PORT ?= 8000
PROCESSES ?= 2
LONG := $(BIN)/python -m pytest -p tests.long --long -s
DEMO := artifacts/simulated
INSTALL = $(PYTHON) requirements/install.py
LOCK := pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-package torch --upgrade

# Packages are installed without bytecode; Python writes what it imports beside them, whatever the caller's shell says.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help serve demo test lint parity crash consume faults contract properties bench bench-smoke bench-store bench-detection lock sbom audit clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/serve: pyproject.toml requirements/train.lock requirements/torch.txt
	@$(INSTALL) serve

$(VENV)/dev: $(VENV)/serve requirements/dev.lock
	@$(INSTALL) dev

$(VENV)/bench: $(VENV)/dev
	@$(INSTALL) bench

$(VENV)/spark: $(VENV)/dev requirements/spark.lock
	@$(INSTALL) spark

$(VENV)/tools/done: requirements/tools.lock
	@$(INSTALL) tools

artifacts/active: | $(VENV)/serve
	@echo "Training a first model on simulated payments (a minute or more)" && \
	$(BIN)/counterfoil simulate --cards 1000 --out $(DEMO)/payments.csv --hold-out $(DEMO)/week.csv --hold-out-days 7 && \
	$(BIN)/counterfoil train $(DEMO)/payments.csv --profile payments;

serve: $(VENV)/serve artifacts/active ## Install, train on simulated payments if no model is active, serve on PORT=8000
	@exec $(BIN)/counterfoil serve --host $(HOST) --port $(PORT)

# What was broken off half-way begins anew.
$(DEMO)/demo.db: | $(VENV)/serve artifacts/active
	@rm -f $@-* && { $(BIN)/counterfoil demo $(DEMO)/week.csv --database sqlite:///$@ || { rm -f $@ $@-*; exit 1; }; }

demo: $(DEMO)/demo.db ## The same with a week's alerts to look at in the console, in a store of its own
	@exec $(BIN)/counterfoil serve --host $(HOST) --port $(PORT) --database sqlite:///$(DEMO)/demo.db

test: $(VENV)/dev ## Run the whole test suite, in PROCESSES=2 processes
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/dev ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

parity: $(VENV)/dev ## 200,000 payments through HTTP and offline, compared bit for bit (half an hour)
	$(LONG) tests/app/test_parity.py

crash: $(VENV)/dev ## 80 x kill -9 and 100 restarts under load: nothing answered is lost or done twice (half an hour)
	$(LONG) tests/app/test_crash.py tests/app/requests/test_idempotency.py

consume: $(VENV)/dev ## 50 x kill -9 of a worker over 100,000 messages, from Kafka and from Redis (half an hour)
	$(LONG) tests/app/consume/test_kills.py

faults: $(VENV)/dev ## Failing stores, traced syncs, and 900 random histories beside an oracle (half an hour)
	$(LONG) tests/app/test_faults.py tests/app/test_sync.py tests/app/test_state_machine.py

contract: $(VENV)/dev ## Thousands of requests made from the OpenAPI document, with and without API keys (five minutes)
	$(LONG) tests/app/test_schemathesis.py

properties: $(VENV)/dev ## Every property with ten times as many examples as in the suite (long)
	$(LONG) -m hypothesis

.PHONY: spark  # there is a folder of this name
spark: $(VENV)/spark ## Install Spark (half a GB; Java 17 comes from your system), and test it on a local cluster (minutes)
	$(BIN)/python -m pytest tests/spark

bench: $(VENV)/dev ## Time serving beside other ways to serve, behaviour features and batch scoring
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/behaviour.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/batch.py

bench-smoke: $(VENV)/dev ## The tiny run of every benchmark, to see that none is broken (a quarter of an hour)
	$(LONG) tests/test_benchmarks.py

bench-store: $(VENV)/dev ## A million cards: what a write costs, what memory holds, how long a start takes (15 minutes)
	$(BIN)/python benchmarks/store.py

bench-detection: $(VENV)/bench ## Detection beside other methods on ../shared/data
	$(BIN)/python benchmarks/detection.py --threads 1
	$(BIN)/python benchmarks/scenarios.py
	$(BIN)/python benchmarks/labels.py
	$(BIN)/python benchmarks/digits.py

lock: $(VENV)/tools/done ## Resolve all dependencies anew into requirements/*.lock
	$(TOOLS)/uv $(LOCK) pyproject.toml --group build --extra dev --output-file requirements/dev.lock
	$(TOOLS)/uv $(LOCK) pyproject.toml --group build --extra training --extra postgresql --extra redis --extra kafka \
	  --extra rules --extra oidc --extra excel --constraint requirements/dev.lock --output-file requirements/train.lock
	$(TOOLS)/uv $(LOCK) pyproject.toml --group build --extra postgresql --extra redis --extra kafka --extra rules \
	  --constraint requirements/dev.lock --output-file requirements/serve.lock
	$(TOOLS)/uv $(LOCK) pyproject.toml --group build --extra postgresql --extra redis --extra kafka --extra rules \
	  --extra oidc --constraint requirements/dev.lock --output-file requirements/serve-oidc.lock
	$(TOOLS)/uv $(LOCK) pyproject.toml --group build --extra spark --constraint requirements/dev.lock \
	  --output-file requirements/spark.lock
	$(TOOLS)/uv $(LOCK) --group pyproject.toml:tools --output-file requirements/tools.lock

sbom: $(VENV)/tools/done ## Write what the service consists of, CycloneDX, validated, to dist/
	@mkdir -p dist
	$(TOOLS)/cyclonedx-py requirements requirements/serve.lock --pyproject pyproject.toml --output-reproducible \
	  --validate --output-file dist/counterfoil.cdx.json

audit: $(VENV)/tools/done ## Look up known vulnerabilities of what is locked
	@mkdir -p dist && rm -f dist/audit.json
	@$(TOOLS)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --format json --output dist/audit.json \
	  --requirement requirements/dev.lock --requirement requirements/torch.txt 2> dist/audit.log; \
	found=$$?; \
	if [ -s dist/audit.json ]; then \
	  grep -v WARNING dist/audit.log; echo "Details: dist/audit.json"; exit $$found; \
	else \
	  echo "NOT AUDITED, which says nothing for or against: $$(tail -n 1 dist/audit.log)"; exit 3; \
	fi

clean: ## Remove the environment; models and data stay
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
