# cosolve: `make demo` shows it, `make test` proves it, `make help` lists the rest.
SHELL := /bin/bash
PYTHON := .venv/bin/python
COSOLVE := .venv/bin/cosolve
SEED ?= 0
PYTEST_ARGS ?=
BENCHES ?= overhead time-loop cylinder faults scaling newton linear-guess preconditioner operators operator-cards
FAMILIES ?= set-cover auctions

# One thread for each rank: spinning threads cost ten times on a shared machine.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
# Containers and continuous integration run as root; Open MPI refuses that unless told twice.
export OMPI_ALLOW_RUN_AS_ROOT ?= 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-debian12 test-debian13 test-newest lint docs bench clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## the system's FEniCSx, PETSc and MPI, and a virtual environment (TORCH=cpu takes PyTorch's CPU index)
	@.ci/setup

demo: setup  ## the flagship: 400 curing cycles in FEniCSx, hybrid against its best classical rival
	@$(COSOLVE) demo

test: setup  ## all tests that are not slow and need no GPU, ranks 1 to 3 included
	@$(PYTHON) -m pytest -m "not slow and not gpu" $(PYTEST_ARGS)

test-all: setup  ## every test
	@$(PYTHON) -m pytest $(PYTEST_ARGS)

test-debian12:  ## every test and the demo on a fresh clone in a clean Debian 12 (needs root and debootstrap)
	@.ci/chroot bookworm

test-debian13:  ## the same in a clean Debian 13: dolfinx 0.9, PETSc 3.22, numpy 2.2, Python 3.13
	@.ci/chroot trixie

test-newest:  ## the same in Debian's unstable suite, the newest of everything
	@.ci/chroot sid

lint: setup  ## ruff and mypy strict
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy

docs: setup  ## the documentation as HTML in docs/_build, warnings are errors
	@$(PYTHON) -m sphinx -W -q -b html docs docs/_build/html && echo "docs: docs/_build/html/index.html"

bench: setup  ## every bench in its quick form, JSON in runs/bench (hours; SEED=n draws the unseen cases, BENCHES=... chooses)
	@mkdir -p runs/bench
	@for bench in $(BENCHES); do \
	  $(COSOLVE) bench $$bench --quick --seed $(SEED) --json runs/bench/$$bench.json || exit; \
	done
	@for family in $(FAMILIES); do \
	  $(COSOLVE) bench branching --family $$family --level easy --quick --seed $(SEED) --json runs/bench/branching-$$family.json || exit; \
	done

clean:  ## remove the environment, caches and runs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build build runs *.egg-info
