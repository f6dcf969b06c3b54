# Watchbill. `make` lists what there is; every target brings what it needs, and says so.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
WORKERS ?= 3
LAB ?= api

.PHONY: help setup demo demo-headless drill test test-cluster check bench mutation clean format

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

mutation: setup ## mutants of bot/gate and bot/policy against their quick tests, in a copy; a sample, ARGS="--sample 0" for all
	@sh deploy/mutation.sh
	@$(PY) -m tests.mutation $(ARGS)

setup: ## bring uv, the Python environment, Terraform and the scanner, into this folder only
	@sh deploy/setup.sh

demo: setup ## the lab on this machine: open the page it prints, write the mission, approve it; LAB=hosts: real machines, LAB=cluster: Kubernetes on them (root)
	@$(PY) -m bot demo --reach $(LAB) $(ARGS)

demo-headless: setup ## the same mission played by itself; prints the thread, then one line of JSON
	@$(PY) -m bot demo --headless --reach $(LAB) $(ARGS)

test: setup ## every test, slow ones too; `make test-cluster` has the others
	@$(PY) -m pytest -q -n $(WORKERS) --dist loadgroup -m "not cluster" $(ARGS)

test-cluster: setup ## bring what a cluster is made of (root; built where it cannot be downloaded), then its tests: minutes
	@$(PY) -m deploy.lab.bundle --want kubernetes --cache .cache/lab
	@$(PY) -m pytest -q -s -p no:randomly -m cluster $(ARGS)

drill: setup ## the lab's model misbehaves, the crew finishes or asks within bounds; ARGS='--watch NAME' for one on the page
	@$(PY) -m bot drill $(ARGS)

check: setup ## format, lint, types, layers
	@$(PY) -m ruff format --check -q .
	@$(PY) -m ruff check -q .
	@.venv/bin/lint-imports --no-cache > .cache/layers.txt 2>&1 || { cat .cache/layers.txt; exit 1; }
	@$(PY) -m pyright --warnings

bench: setup ## the figures of tests/bench, with their references from the same run
	@$(PY) -m tests.bench $(ARGS)

format: setup ## let the formatter and the linter mend what they can
	@$(PY) -m ruff format -q . && $(PY) -m ruff check -q --fix .

clean: ## remove what setup and the demo made in this folder (.venv, .cache, .data)
	@rm -rf .venv .cache .data .pytest_cache .ruff_cache .hypothesis .coverage
