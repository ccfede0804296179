# `make` lists what there is. Set-up is part of every target that needs it and is done once.
PYTHON ?= python3
BIN := .venv/bin
NODE = $(shell $(BIN)/python -c 'from local.places import node_binary; print(node_binary().parent)')
ARGS ?= --version
PACKAGES := app.py cli compiler glue_jobs infra lambdas local shared
.DEFAULT_GOAL := help
# A laptop is many short Python processes: each would compile its packages anew.
export PYTHONDONTWRITEBYTECODE =
.PHONY: help run test check setup lock cdk clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: .venv/run.stamp ## run the demo lake on this laptop: a first run, a day of trade and a run, two more days and a run, then what came of it
	$(BIN)/sluice demo

test: .venv/test.stamp .cache/fakesnow/stamp .cache/parliament/stamp node_modules/.stamp ## all tests, whole runs of the lake on the laptop among them
	$(BIN)/python -m pytest -n 3 --no-loadscope-reorder

check: .venv/test.stamp ## format, lint, strict types, import contracts, contracts of every lake
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports
	$(BIN)/python -m compiler.check lake tests/lakes/*

setup: .venv/run.stamp ## what `make run` needs: virtual environment, packages, Spark jars (kept in .cache)

cdk: .venv/run.stamp node_modules/.stamp ## the pinned `cdk` command, with the node that set-up brought: make cdk ARGS="deploy --all -c env=dev"
	PATH="$(CURDIR)/$(BIN):$(NODE):$$PATH" node_modules/.bin/cdk $(ARGS)

node_modules/.stamp: package-lock.json .venv/run.stamp
	PATH="$(NODE):$$PATH" node $(NODE)/../lib/node_modules/npm/bin/npm-cli.js ci --no-audit --no-fund
	@touch $@

lock: .venv/test.stamp ## write the lock files anew from requirements/*.in
	cd requirements && for set in setup bundle run test fakesnow parliament; do \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $$set.in -o $$set.txt || exit 1; done

clean: ## stop the laptop and remove what it left; packages and jars stay
	-test ! -x $(BIN)/sluice || $(BIN)/sluice local down
	rm -rf .local cdk.out build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/base.stamp: requirements/setup.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python %d.%d is too old: Sluice needs 3.11 or newer. Name one with: make PYTHON=python3.12 …" % sys.version_info[:2])'
	@java -version 2>&1 | grep -qE 'version "(17|21)' || { echo 'Java 17 is missing (Spark 4 needs it): install it, for example with `apt-get install openjdk-17-jre-headless`, or set PATH to one.' >&2; exit 1; }
	@echo "setting up .venv …"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/setup.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv/run.stamp: .venv/base.stamp requirements/run.txt infra/drivers.py local/jars.py local/archive_workload.py local/spark_conf.py
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/run.txt
	$(BIN)/python -m local.setup
	@touch $@

.venv/test.stamp: .venv/run.stamp requirements/test.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/test.txt
	@touch $@

# What stands in for Snowflake, and the policy linter, have pins that ours contradict: environments of their own.
.cache/%/stamp: requirements/%.txt .venv/base.stamp
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .cache/$*
	$(BIN)/uv pip install --quiet --python .cache/$*/bin/python --require-hashes -r $<
	@touch $@
