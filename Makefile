# Thin: each target is a few plain commands, which the README shows beside it.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test check lint types lock

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	$(BIN)/boxloop status --table

test: setup
	$(BIN)/python -m pytest -n 2

check: lint types

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

lock:
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --extra dev --extra transformers --python-version 3.11 -o requirements.lock pyproject.toml
