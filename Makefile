# `make verify` and `make test` are all that a fresh machine needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= results
JOBS   ?= 2
QUIETLY := --quiet --disable-pip-version-check
# Small problems run slower, and not reproducibly, on many BLAS threads.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: install verify test test-full test-lowest bench lint docs clean

install: $(VENV)/.installed

# Everything but torch and this project itself comes with its hash. The claims need no tests, linters or documentation.
# What is installed is compiled on all cores, but for tests, which pip would do on one.
$(VENV)/.claims: pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(QUIETLY) --no-compile --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/pip install $(QUIETLY) --no-compile --no-build-isolation --constraint constraints.txt --editable '.[train,proofs,sdp]'
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
	@touch $@

$(VENV)/.installed: $(VENV)/.claims requirements-dev.lock
	$(BIN)/pip install $(QUIETLY) --no-deps --require-hashes --requirement requirements-dev.lock
	$(BIN)/pip install $(QUIETLY) --no-build-isolation --constraint constraints.txt --editable '.[dev]'
	@touch $@

verify: $(VENV)/.claims
	$(BIN)/python -m verify run --profile quick --jobs $(JOBS) --out $(OUT)

# Byte code is kept even if the environment says otherwise: it saves each worker a second, and tests several more of
# rewriting assertions.
verify test test-full: export PYTHONDONTWRITEBYTECODE =

test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

test-full: install
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# With the lowest versions that pyproject.toml allows, in a virtual environment of their own.
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) tests/project/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --constraint .venv-lowest/constraints.txt --editable '.[test]'
	.venv-lowest/bin/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: install
	$(BIN)/python benchmarks/run.py

# With figures of the claims where $(OUT) holds a run of these sources: `make verify docs`.
docs: install
	RESULTS=$(abspath $(OUT)) $(BIN)/python -m sphinx -W -b html docs docs/_build/html

clean:
	rm -rf $(VENV) .venv-lowest $(OUT) docs/_build .pytest_cache .ruff_cache .import_linter_cache
