PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test lint format protos schema bench bench-quick bench-scale chaos bugs fuzz soak breaking clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(READY) ## The virtual environment with everything in it

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## A model, the exchange and a bot on real prices; under two minutes
	@$(BIN)/ai-grpc demo

serve: $(READY) ## The server on port 50051, with an embedded PostgreSQL unless DATABASE_URL is set
	@$(BIN)/ai-grpc serve

test: $(READY) ## The tests, on a real PostgreSQL; about five minutes
	@$(BIN)/pytest --numprocesses 4 --dist worksteal

lint: $(READY) ## ruff, mypy --strict, import-linter, buf
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(MAKE) --no-print-directory breaking

format: $(READY) ## Let the tools decide the form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/buf format --write

protos: $(READY) ## The stubs in src/ai_grpc/v1 from protos/
	@rm -f src/ai_grpc/v1/*_pb2*
	@$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=src --grpc_python_out=src \
		--mypy_out=quiet:src --mypy_grpc_out=quiet:src protos/ai_grpc/v1/*.proto
	@cd src/ai_grpc/v1 && rm -f errors_pb2_grpc.py* periods_pb2_grpc.py* streams_pb2_grpc.py*

breaking: $(READY) ## Breaking changes of the contract against main
	@if git cat-file -e $(or $(AGAINST),main):protos 2>/dev/null; then \
		$(BIN)/buf breaking --against ".git#ref=$(or $(AGAINST),main)"; \
	else echo "no protos on $(or $(AGAINST),main) yet"; fi

schema: $(READY) ## sql/schema.sql from sql/migrations
	@$(BIN)/python -m tests.schema

bench: $(READY) ## Speed, as ratios to ceilings and peers of the same run; writes docs/benchmarks.md; 11 minutes
	@$(BIN)/python -m benchmarks --output docs

bench-quick: $(READY) ## The main rows of it, in two minutes
	@$(BIN)/python -m benchmarks --quick

bench-scale: $(READY) ## Reads from millions of rows, with their plans; writes docs/benchmarks-scale.md; 4 minutes
	@$(BIN)/python -m benchmarks.scale --output docs

chaos: $(READY) ## Faults under load, then every promise is checked; DURATION= seconds, SEED=; else 10 minutes and a report
	@$(BIN)/python -m tests.chaos --duration $(or $(DURATION),600) $(if $(SEED),--seed $(SEED)) $(if $(DURATION),,--report)

bugs: $(READY) ## All seeded bugs, each of which a short chaos must bring to light; three minutes
	@$(BIN)/pytest --long --numprocesses 2 tests/chaos

fuzz: $(READY) ## Every RPC, with 200,000 hostile inputs (INPUTS=, SEED=)
	@$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),200000) $(if $(SEED),--seed $(SEED))

soak: $(READY) ## Two servers, 200 subscribers, half load; MINUTES=, else 30 and a report
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) $(if $(MINUTES),,--report)

clean: ## Remove the virtual environment and caches
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
