# Every target does its own set-up, says what it does, and is quick the second time.
PY      := .venv/bin/python
PYTHON  ?= python3
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export URL  # to the demo by the environment: an address may hold what a shell would run
say      = @printf '\033[1m== %s\033[0m\n' "$(1)"

.DEFAULT_GOAL := help
.PHONY: help setup demo cluster serve test soak bench lint sbom lock clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/.tested ## the virtual environment in .venv, with everything the demo and the tests need
	$(call say,.venv is ready)

demo: .venv/.tested ## stand-in origin, gateway and client on this machine; URL=https://www.tiktok.com/... uses the real site
	$(call say,demo: origin$(,) gateway$(,) client)
	@$(PY) -m tests.demo "$$URL"

cluster: .venv/.tested ## the same on two gateways behind nginx, with PostgreSQL, Redis and two Ray nodes, here
	$(call say,cluster: origin$(,) nodes$(,) gateways$(,) nginx$(,) client)
	@sh tests/packages.sh postgresql redis-server:redis-server
	@$(PY) -m tests.stack_demo

serve: .venv/.installed ## run the gateway on 127.0.0.1:8000 (settings: docs/settings.md)
	@$(PY) -m gateway serve

test: .venv/.tested .venv/.system lint ## linters, types, import arrows and every test (fixed-seed samples of the long ones)
	$(call say,tests)
	@$(PY) -m pytest -q -n 4 --dist worksteal

soak: .venv/.tested .venv/.system ## the tests that take samples, with many and fresh ones, within an hour
	@CLIPWIRE_SOAK=1 $(PY) -m pytest -q -m soak -n 2 --dist worksteal

bench: .venv/.tested ## the gateway against nginx and plain faster-whisper, side by side, here
	@$(PY) -m tests.bench

lint: .venv/.tested ## ruff, mypy --strict, import-linter
	$(call say,ruff$(,) mypy$(,) import-linter)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

sbom: .venv/.tested ## the locked packages with their hashes and licences, as CycloneDX, in .cache/sbom.json
	@mkdir -p .cache && $(PY) -m tests.sbom > .cache/sbom.json && echo .cache/sbom.json

lock: .venv/.tested ## resolve the dependencies again (needs uv)
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --upgrade --extra redis pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --upgrade -c requirements.lock --extra test pyproject.toml -o tests/requirements.lock
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --upgrade -c tests/requirements.lock --extra redis --extra cluster pyproject.toml -o docs/deploy/cluster.lock

clean: ## remove what the targets above made (not the gateway's data folder)
	rm -rf .venv .cache .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

, := ,

.venv/bin/python:
	$(call say,creating .venv with $(PYTHON))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'clipwire needs Python 3.11 or newer; install it (Debian: apt-get install python3) or name one: make PYTHON=/path/to/python3.12'; exit 1; }
	@rm -rf .venv
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || { \
	  echo 'this Python cannot make virtual environments; installing Debian package python3-venv'; rm -rf .venv; \
	  sh tests/packages.sh python3-venv && $(PYTHON) -m venv .venv; }

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	$(call say,installing the locked packages (about a minute the first time))
	@$(PY) -m pip install -qq --require-hashes -r requirements.lock
	@touch $@

.venv/.tested: tests/requirements.lock pyproject.toml clients/python/pyproject.toml | .venv/bin/python
	$(call say,installing the locked packages and test tools (about a minute the first time))
	@$(PY) -m pip install -qq --require-hashes -r tests/requirements.lock
	@$(PY) -m pip install -qq --no-deps --no-build-isolation -e . -e clients/python
	@touch $@ .venv/.installed

.venv/.system: tests/packages.sh Makefile | .venv/bin/python
	$(call say,Debian packages for the tests: nodejs$(,) npm$(,) chromium$(,) postgresql$(,) redis-server)
	@sh tests/packages.sh nodejs:node npm:npm chromium:chromium postgresql redis-server:redis-server
	@touch $@
