# `make demo` and `make test` need only Python 3.11 or newer, make, and a PyPI mirror.
PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/digits
WORKERS ?= 2
TESTS ?= tests
STUDIES ?= benchmarks/results/ring,benchmarks/results/grid,benchmarks/results/families_2d,benchmarks/results/digits_losses,benchmarks/results/are_gans_equal,benchmarks/results/are_gans_equal_digits,benchmarks/results/kl_weight
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all lint format docs mutation bench lock clean help

help:  ## say what each target does
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(READY)  ## train a DCGAN on handwritten digits; ends with a picture and a table
	$(BIN)/python -m experiments.train --config=configs/gan_digits.py --workdir=$(WORKDIR) \
	  --compilation_cache=.cache/xla

test: $(READY)  ## the default test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

test-all: $(READY)  ## the slow tests too
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "" $(TESTS)

lint: $(READY)  ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## apply what lint asks for, where it can be applied
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## write the generated pages anew
	$(BIN)/python -m genloss_jax.losses.catalog --markdown > docs/catalog.md
	$(BIN)/python -m genloss_jax.ablation.stability --out=docs
	$(BIN)/python -m experiments.choosing --have=$(STUDIES)
	$(BIN)/python -m experiments.collectives
	$(BIN)/python -m experiments.scaling

mutation: $(READY)  ## flip and double every loss; none may survive its proof
	$(BIN)/python tests/mutation.py

bench: $(READY)  ## time against PyTorch, which is installed for it
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m benchmarks.step_time
	$(BIN)/python -m benchmarks.loss_overhead
	$(BIN)/python -m benchmarks.ablation

lock:  ## resolve requirements.lock anew, for Python 3.11 and newer (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra test --extra lint \
	  --generate-hashes --no-header --upgrade --output-file requirements.lock

clean:  ## remove environments and caches, but no runs
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "genloss_jax needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0])'
	@echo "setting up $(VENV) (a few minutes)"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
