# make demo   the whole platform with a simulated fleet, from wheels alone: no root, no Docker, no Node
# make test   lint, types, contracts and all tests; as root on Debian it first installs the services they need
# make check  lint, types and contracts alone
# make clean  removes the environment and the demo's data

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What decides which packages are installed; the code itself is installed as a link to this folder.
MANIFEST := pyproject.toml hatch_build.py package.json package-lock.json

.PHONY: demo test check services clean

demo: $(VENV)/installed-demo
	@exec $(BIN)/forewarn demo

test: services $(VENV)/installed-test
	@$(MAKE) --no-print-directory check
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(VENV)/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

services:
	@tests/services/install.sh

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Forewarn needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed-%: $(MANIFEST) | $(VENV)/bin/python
	@echo "installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) .forewarn api/static/vendor
