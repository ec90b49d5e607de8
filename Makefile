PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test run lint types contracts format screenshots detection clean

demo: $(VENV)/installed
	$(BIN)/sentinel-tui --demo

test: $(VENV)/installed-dev
	$(BIN)/pytest

run: $(VENV)/installed
	$(BIN)/sentinel-tui

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

contracts: $(VENV)/installed-dev
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: $(VENV)/installed
	$(BIN)/sentinel-tui --demo --database $(VENV)/screenshots.db
	$(BIN)/python docs/screenshots.py $(VENV)/screenshots.db

detection: $(VENV)/installed-dev
	$(BIN)/python docs/detection.py $(FILE)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	touch $(VENV)/installed $@
