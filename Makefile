# Two commands do all the set-up: `make demo` trains and converts, `make test` runs every test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)

LOWEST := .venv-lowest
# The lowest torch is a download of gigabytes on Linux; `make test-lowest TORCH=torch==2.13.0` takes another version, for
# machines that have one at hand, and the lowest of everything else.
TORCH ?= $(shell grep '^torch==' constraints-lowest.txt)
TESTS ?=
# As many processes as there are cores, with one thread each.
IN_PARALLEL := -n auto --dist worksteal
test test-lowest test-ray: export OMP_NUM_THREADS = 1

.PHONY: demo gallery lint test test-lowest test-compiled test-ray mutation release-check clean

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

# Runs all pages of docs/gallery as they are written and puts pictures and figures into them; runs are kept in gallery/.
gallery: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.gallery

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest $(IN_PARALLEL)

test-ray: $(VENV)/.installed-test
	$(INSTALL) -e ".[ray]"
	$(BIN)/python -m pytest tests/test_on_ray.py

$(LOWEST)/.installed-test: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	grep -v '^torch==' constraints-lowest.txt > $(LOWEST)/constraints.txt
	echo "$(TORCH)" >> $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/constraints.txt torch
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/constraints.txt -e ".[test]"
	touch $@

# TESTS chooses files: make test-lowest TESTS="tests/test_cli.py tests/test_images.py"
test-lowest: $(LOWEST)/.installed-test
	$(LOWEST)/bin/python -m pytest $(IN_PARALLEL) $(TESTS)

test-compiled: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m compiled

# The map takes as long as the tests; remove it after files have moved.
.mutation/map.json: | $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.mutation --map

mutation: .mutation/map.json
	$(BIN)/python -m benchmarks.mutation

# Builds the archives and uses them in an environment of their own; CONTRIBUTING.md tells how a release is made.
release-check: $(VENV)/.installed-test
	$(INSTALL) -e ".[release]"
	$(BIN)/python -m release

.PHONY: site
site: $(VENV)/.installed-test
	$(BIN)/python -m sphinx -W --keep-going -q -d build/read -c docs/website . build/site
	@echo "Look at build/site/index.html"

clean:
	rm -rf $(VENV) $(LOWEST) build demo gallery .mutation .release .mypy_cache .pytest_cache .ruff_cache .hypothesis
