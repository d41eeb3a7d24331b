# The only entry point that people and CI use. `make` prints what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

bin := .venv/bin
python := $(bin)/python
WORKERS ?= auto
pytest := $(bin)/pytest -n $(WORKERS) --maxprocesses=4

.PHONY: help
help: ## print this
	@awk 'BEGIN { FS = ":.*## "; print "usage: make TARGET" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Use

.PHONY: run test
run: ## start the whole of Turnpike on this machine; Ctrl-C stops it (ARGS="--port 9000" is handed on)
	@tools/build/setup.sh run
	@if [[ " $(ARGS) " =~ \ --kafka[\ =]real\  ]]; then tools/kafka/fetch.sh; fi
	@exec $(bin)/turnpike up $(ARGS)

test: setup ## run every test, those of the whole system too (ARGS="-k price" is handed on)
	@$(pytest) $(ARGS)

.PHONY: kafka-up kafka-down
kafka-up: ## start Apache Kafka, one node, in the background (needs Java 17 and Maven; ARGS="--port 9092")
	@tools/build/setup.sh run
	@tools/kafka/fetch.sh
	@$(python) -m localstack.kafka up $(ARGS)

kafka-down: ## stop it; its data stay (ARGS="--wipe" deletes them)
	@$(python) -m localstack.kafka down $(ARGS)

##@ Develop

.PHONY: setup format test-unit test-kafka e2e bench bench-admission bench-flushed bench-settlement bench-ingest protos docs locks clean
.PHONY: test-long
setup: ## create or update .venv from the hashed locks
	@tools/build/setup.sh dev

format: ## format Python and protobuf, sort imports
	@$(bin)/ruff format .
	@$(bin)/ruff check --select I --fix .
	@$(bin)/buf format -w

test-unit: ## run the tests that need no whole system
	@$(pytest) -m "not e2e" $(ARGS)

test-kafka: setup ## run the tests that speak to a broker on Apache Kafka (needs Java 17 and Maven; ARGS="services/metering")
	@tools/kafka/fetch.sh
	@$(pytest) --kafka real $(ARGS)

test-long: setup ## kill members, broker and store while 1,000,000 events come, on real Kafka (ARGS="--events 50000"); not in CI
	@tools/kafka/fetch.sh
	@cd bench && ../$(python) -m turnpike_bench.ingest.chaos $(ARGS)

e2e: ## run the tests of the whole system only
	@$(bin)/pytest tests/e2e tests/clients $(ARGS)

bench: ## measure CPU per request, added latency and memory (ARGS="--requests 5000")
	@cd bench && ../$(python) -m turnpike_bench $(ARGS)

bench-admission: ## measure what admitting a request costs an edge that holds a lease
	@cd bench && ../$(python) -m turnpike_bench.admission

bench-flushed: ## take everything from ten edges that they know, at 2,000 requests a second, and watch them recover (ARGS="--edges 20", ARGS=--http)
	@cd bench && ../$(python) -m turnpike_bench.flush $(ARGS)

bench-settlement: ## measure what settling a usage event costs (ARGS="--events 100000 --batch 2000")
	@cd bench && ../$(python) -m turnpike_bench.settlement $(ARGS)

.PHONY: bench-usage
bench-usage: ## time every page's question over many usage events (ARGS="--path /a/folder --events 100000000")
	@cd bench && ../$(python) -m turnpike_bench.usage $(ARGS)

bench-ingest: ## measure ingest on real Kafka: cost of an event, freshness (needs Java 17)
	@tools/kafka/fetch.sh
	@cd bench && ../$(python) -m turnpike_bench.ingest.cost $(ARGS)
	@cd bench && ../$(python) -m turnpike_bench.ingest.freshness

.PHONY: bench-outage
bench-outage: ## let a day pass without the store, and some hours without Kafka, on a clock that is moved; then catch up (needs Java 17)
	@tools/kafka/fetch.sh
	@cd bench && ../$(python) -m turnpike_bench.ingest.outage $(ARGS)

protos: ## generate protos/gen from protos/turnpike
	@$(bin)/buf format -w
	@$(bin)/buf lint
	@tools/build/protos.sh

docs: ## write what docs/ says of settings, signals and topics from the code
	@$(python) tools/build/configuration.py
	@$(python) tools/build/telemetry.py
	@$(python) tools/build/asyncapi.py

.PHONY: bench-leases
bench-leases: ## measure what lending credit to edges costs (ARGS="--grants 20000")
	@cd bench && ../$(python) -m turnpike_bench.leases $(ARGS)

locks: ## recompute locks/*.txt
	@tools/build/lock.sh

clean: ## remove caches and results; .venv and .turnpike stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/results build dist
	@find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

##@ Check

.PHONY: check lint types imports house protos-check docs-check k8s-check
check: lint house imports protos-check docs-check k8s-check types ## all of the checks below; CI runs this and `make test`

lint: ## ruff: rules and formatting
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .

types: ## mypy --strict over sources and tests
	@$(bin)/mypy

imports: ## who may import whom
	@$(bin)/lint-imports --no-logo

house: ## Turnpike's own lints
	@PYTHONPATH=tools/checks $(python) -m house

protos-check: ## protobuf: lint, format, generated code in step, nothing broken since the last commit
	@tools/build/protos-check.sh

docs-check: ## what docs/ says of settings, signals and topics is in step with the code
	@$(python) tools/build/configuration.py --check
	@$(python) tools/build/telemetry.py --check
	@$(python) tools/build/asyncapi.py --check

k8s-check: ## Dockerfiles and manifests: hadolint, render, schemas, assertions against the settings
	@$(bin)/hadolint --config deploy/docker/hadolint.yaml deploy/docker/*.Dockerfile
	@$(bin)/pytest -q -p no:randomly deploy/k8s/tests
