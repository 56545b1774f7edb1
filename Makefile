# Thin: each target is a few plain commands, which the README shows beside it.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test check lint types bench lock

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

# Short runs of benchmarks, five to ten minutes on two idle cores. docs/results has the full ones, but
# for embedding.py's: no page has those.
bench: setup
	$(BIN)/python benchmarks/turns.py --turns 5 20
	$(BIN)/python benchmarks/labeled_sets.py 1000 10000
	$(BIN)/python benchmarks/turns_of_work.py 2
	$(BIN)/python benchmarks/average_precision.py 1000
	$(BIN)/python benchmarks/scale.py --images 1000 5000
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[bench]'
	$(BIN)/python benchmarks/ordering.py --sizes 500 1000 2000 --repeat 1
	$(BIN)/python benchmarks/embedding.py --count 256 --repeat 1
	$(BIN)/python benchmarks/detectors.py fcos_efficientnet_lite0 ssdlite320_mobilenet_v3_large --count 32 --steps 5

lock:
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --extra dev --extra transformers --python-version 3.11 -o requirements.lock pyproject.toml
