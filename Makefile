# Everything here works on a bare machine with Python 3.11 to 3.13 and make: each target first installs what it needs.
#
#   make demo    a real first stage, reranker and reader over Python's own documentation; a table and an HTML report
#   make test    the whole test suite           make check   format, lint, types, layers, docs
#   make bench   the benchmarks (minutes)       make clean   remove what was built

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
QUIET  := OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_OFFLINE=1

.PHONY: demo test check format docs bench clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12), (3, 13)])' \
	  || { echo "Shortlist needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "pip>=24"

# the product with what the demo needs: no torch
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[demo]'
	@touch $@

# torch first, so that the build pip is set up for is kept by all that follows
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/shortlist demo --output demo-out

test: $(VENV)/.dev
	$(QUIET) $(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev
	$(BIN)/mkdocs serve

bench: $(VENV)/.dev
	$(QUIET) $(BIN)/python benchmarks/driver.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/cross_encoder.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/million.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/rrpo_step.py

clean:
	rm -rf $(VENV) site dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
