# make demo   set everything up, then find a schedule on real digits and show it
# make test   set everything up, then run every check (lint, types, import contracts, tests)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
# What Python compiles it keeps, wherever it was told not to: the tests start a hundred processes of the product.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install demo test lint types imports unit interop conformance chaos fuzz openapi docs benchmarks audit sbom clean help

help:
	@sed -n 's/^# //p' Makefile

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Switchback needs Python 3.11 or newer, got " + sys.version.split()[0] + "; name another with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[service,worker,dev]'
	@touch $@

demo: install
	$(BIN)/python examples/demo.py $(ARGS)

# The checks of the text run beside the tests, which leave some of two cores idle.
test: install
	@$(MAKE) --no-print-directory -j 2 unit lint types imports

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

# The schedules against the libraries they are compared with, in an environment of its own.
interop:
	$(PYTHON) -m venv .venv-interop
	.venv-interop/bin/pip install --quiet --editable '.[service,worker,dev,interop]'
	.venv-interop/bin/python -m pytest tests/schedules $(ARGS)

# Every engine against `solo`, over models x optimizers x schedules x lane counts; takes tens of minutes.
conformance: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "slow or not slow" --timeout 600 tests/worker/engine $(ARGS)

# A hundred kills on each database, the mutants, ten times the load, a simulated day, and the races and the model in depth: half an hour.
chaos: install
	$(BIN)/pip install --quiet --editable '.[service,worker,dev,clouds]'
	$(BIN)/python -m benchmarks.chaos $(ARGS)
	$(BIN)/python -m benchmarks.chaos --postgres $(ARGS)
	$(BIN)/python -m benchmarks.chaos --mutants
	$(BIN)/python -m benchmarks.overload $(ARGS)
	$(BIN)/python -m benchmarks.overload --postgres $(ARGS)
	$(BIN)/python -m benchmarks.soak $(ARGS)
	$(BIN)/python -m pytest -m slow --timeout 900 tests/service tests/e2e tests/worker tests/architecture --ignore tests/worker/engine

# Every endpoint with every kind of value, on both databases.
fuzz: install
	$(BIN)/python -m benchmarks.fuzz $(ARGS)
	$(BIN)/python -m benchmarks.fuzz --postgres $(ARGS)

# After a change of the API that is meant.
openapi: install
	$(BIN)/python tests/architecture/test_openapi.py

# After a change of a preset, of the states of a trial, or of the rights of roles and routes.
docs: install
	$(BIN)/python -m schedules.presets.reference > docs/schedules.md
	$(BIN)/python -m service.lifecycle > docs/states.md
	PYTHONPATH=tests $(BIN)/python tests/service/access/test_security_page.py

# Every figure, in full; each prints one JSON line at its end. `make benchmarks ARGS=--quick` takes half an hour.
benchmarks: install
	$(BIN)/pip install --quiet --editable '.[service,worker,dev,benchmarks]'
	@missed=; for name in range_test schedules solo lanes tree study dispatch reads; do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name $(ARGS) || missed="$$missed $$name"; done; \
	test -z "$$missed" || { echo "figures missed:$$missed"; exit 1; }

# The installed versions against the advisory databases, and what is installed as CycloneDX.
audit: install
	$(BIN)/pip install --quiet 'pip-audit>=2.10,<3'
	$(BIN)/pip-audit --skip-editable $(ARGS)

sbom: install
	$(BIN)/pip install --quiet 'cyclonedx-bom>=7.5,<8'
	$(BIN)/cyclonedx-py environment --output-file sbom.json $(BIN)/python

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
