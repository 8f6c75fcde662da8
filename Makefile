# Two commands do all the set-up: `make demo` trains and converts, `make test` runs every test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)

.PHONY: demo lint test test-compiled mutation clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) -e ".[test]"
	touch $@

demo: $(VENV)/.installed
	rm -rf demo
	$(BIN)/translate data "demo(size=64)" --export demo/pairs
	$(BIN)/translate fit --config examples/demo.yaml -o demo/run
	$(BIN)/translate convert demo/run demo/pairs/test/source demo/converted
	@echo
	@echo "Look at demo/run/samples (source | fake | target) and at demo/converted."

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

test-compiled: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m compiled

# The map takes as long as the tests; remove it after files have moved.
.mutation/map.json: | $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.mutation --map

mutation: .mutation/map.json
	$(BIN)/python -m benchmarks.mutation

clean:
	rm -rf $(VENV) demo .mutation .mypy_cache .pytest_cache .ruff_cache .hypothesis
