# `make help` lists what can be done; each target only calls a short script.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
IB_ASYNC := .venv-ib-async
LOWEST := .lowest-kopf
CLUSTER := PYTHONPATH=hack python3 -m cluster

.PHONY: help up down test bench venv lock lint unit integration ib-async lowest-kopf rules e2e generate local local-apply local-delete dash pictures

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

up: ## A kind cluster with the monitoring stack and the chart, from nothing; run again to repair
	$(CLUSTER) up

down: ## Delete that cluster
	$(CLUSTER) down

local: $(VENV)/.installed ## API, simulator, Prometheus and Alertmanager as processes on this machine, no Kubernetes
	hack/debian-packages prometheus prometheus-alertmanager prometheus-node-exporter
	PYTHONPATH=hack $(BIN)/python -m local $(ARGS)

local-apply: $(VENV)/.installed ## Put an AlertThreshold in force in `make local`: FILE=examples/rejection-rate.yaml
	PYTHONPATH=hack $(BIN)/python -m local apply $(FILE)

local-delete: $(VENV)/.installed ## Take it back: NAME=rejection-rate
	PYTHONPATH=hack $(BIN)/python -m local delete $(NAME)

dash: $(VENV)/.installed ## The dashboards at http://127.0.0.1:3000/dash: ARGS="--prometheus URL"
	$(BIN)/python -m monitoring.dash $(ARGS)

pictures: $(VENV)/.installed ## PNG of the dashboards into docs/images, from a running /dash or ARGS="--grafana URL"
	hack/debian-packages chromium
	$(BIN)/python -m monitoring.dash.pictures $(ARGS)

test: lint unit integration ib-async lowest-kopf rules e2e ## Everything: lint, unit, integration, promtool and e2e on kind

venv: $(VENV)/.installed ## The development environment in .venv

$(VENV)/.installed: requirements/dev.txt hack/venv
	hack/venv $(VENV) requirements/dev.txt

$(IB_ASYNC)/.installed: requirements/test-ib-async.txt hack/venv
	hack/venv $(IB_ASYNC) requirements/test-ib-async.txt

$(LOWEST)/.installed: requirements/lowest-kopf.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --upgrade --target $(LOWEST) -r $<
	touch $@

lock: $(VENV)/.installed ## Pin the dependencies of every image anew
	PATH=$(CURDIR)/$(BIN):$$PATH hack/lock --upgrade

generate: $(VENV)/.installed ## Write rules and dashboards from the catalogue and the code
	hack/generate $(BIN)

lint: $(VENV)/.installed ## ruff, mypy --strict, import-linter, and that generated files are current
	hack/lint $(BIN)

unit: $(VENV)/.installed ## Unit tests: no server, no cluster; helm and promtool for the chart
	$(CLUSTER) tools >/dev/null
	$(BIN)/pytest tests/unit

integration: $(VENV)/.installed ## Real PostgreSQL, Prometheus, Alertmanager and IB client on loopback
	$(CLUSTER) tools >/dev/null
	hack/debian-packages postgresql prometheus prometheus-alertmanager prometheus-node-exporter chromium libfaketime
	$(BIN)/pytest tests/integration -n 2 --dist loadfile

ib-async: $(IB_ASYNC)/.installed ## The same tests of the gateway's link with ib_async, in an environment of its own
	hack/debian-packages postgresql
	$(IB_ASYNC)/bin/pytest $(addprefix tests/,unit/api/test_gateway.py integration/api/test_link.py integration/api/test_changes.py integration/api/test_fills.py)

lowest-kopf: $(VENV)/.installed $(LOWEST)/.installed ## The operator's watches with the oldest kopf that pyproject.toml allows
	$(CLUSTER) tools >/dev/null
	PYTHONPATH=$(CURDIR)/$(LOWEST) $(BIN)/pytest tests/unit/operator/test_handlers.py tests/integration/operator/test_faults.py::test_a_watch_that_ends_starts_anew_and_not_in_a_loop

rules: $(VENV)/.installed ## promtool tests of the rules; runbooks and metrics against the running programs
	hack/debian-packages prometheus prometheus-alertmanager prometheus-node-exporter
	$(BIN)/pytest tests/rules tests/quality

e2e: $(VENV)/.installed ## The whole product on a kind cluster of its own
	hack/debian-packages postgresql
	hack/e2e $(BIN)

bench: $(VENV)/.installed ## What the operator costs beside a peer, against a real API server: ARGS="--many 0 --soak 10"
	$(CLUSTER) tools >/dev/null
	PYTHONPATH=operator:hack:. $(BIN)/python -m tests.bench.costs $(ARGS)
