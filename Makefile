# `make verify` and `make test` are all that a fresh machine needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= results
JOBS   ?= 2
# Small problems run slower, and not reproducibly, on many BLAS threads.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: install verify test test-full bench lint docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

verify: install
	$(BIN)/python -m verify run --profile quick --jobs $(JOBS) --out $(OUT)

test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

test-full: install
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: install
	$(BIN)/python benchmarks/run.py

docs: install
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

clean:
	rm -rf $(VENV) $(OUT) docs/_build .pytest_cache .ruff_cache .import_linter_cache
