# `make demo` and `make test` each do the whole set-up on a fresh machine. What else: `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
TREE := build/typed
.PHONY: help demo demo-compare demo-audit demo-explore test test-all test-current test-families test-gpu test-tensorflow lint type conformance pytest pytest-all \
	bench results docs format clean distclean $(TREE)

# The interpreters to try, best first: the constraints were resolved on the first.
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3
# An interpreter named by hand gets an environment of its own.
VENV ?= .venv$(if $(filter command,$(origin PYTHON)),-$(notdir $(firstword $(PYTHON))))
CURRENT := .venv-current
JOBS ?= 2
# A process that has done its tests takes over those that another has not begun.
SIDE_BY_SIDE = -n $(JOBS) --dist worksteal
OLD_ALIBI := .alibi-0.9.4
# Parts of the contract in which the host has no part.
NO_EXPLAINERS := criteria models selectors
TENSORFLOW := .venv-tensorflow
# TensorFlow 2.14, the last that alibi takes, runs on no later Python.
TENSORFLOW_PYTHON ?= python3.11
BIN := $(VENV)/bin
# Alibi ends at Python 3.12 and numpy 1: empty where it cannot be, or with `make ALIBI= ...`.
ALIBI ?= yes
OLD = sys.version_info < (3, 13)
WITH_ALIBI = $(and $(ALIBI),$(shell $(BIN)/python -c 'import sys; print("yes" if $(OLD) else "")' 2>/dev/null))
CONSTRAINTS = $(if $(WITH_ALIBI),constraints.txt,constraints-current.txt)
ONCE ?=
# What Alibi and its older packages can change, and what they cannot: among the adapters' tests, those
# in which neither has a part by name; the test of every registered adapter has all of them.
OFF_HOST := $(addprefix tests/,attacks audit criteria datasets describers editing evaluation explorer models plots \
	selection thresholds) $(filter-out %/test_every_adapter.py,\
	$(shell grep -LiE 'alibi|aix360|protodash' tests/adapters/test_*.py))
ON_HOST = $(filter-out $(OFF_HOST) tests/adapters,$(filter-out %.py %__pycache__,$(wildcard tests/*))) \
	$(filter-out $(OFF_HOST),$(wildcard tests/adapters/test_*.py)) $(wildcard tests/test_*.py)
SAY = @$(if $(WITH_ALIBI),:,echo "Without Alibi, which ends at Python 3.12 and numpy 1: the newest packages.")
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -c $(CONSTRAINTS)
comma := ,
SOURCES := pxgen_plugins adapters docs examples tests conftest.py $(wildcard benchmarks)

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## set up, then explain a VAE of MNIST zeros with 56,000 anchors
	$(SAY)
	$(BIN)/python examples/mnist_zeros.py

demo-compare: $(VENV)/.compare  ## set up, then put every method beside PXGen's groups, and a VAE beside a GAN
	$(BIN)/python examples/compare_mnist.py
	$(BIN)/python examples/vae_vs_gan.py

demo-audit: $(VENV)/.demo  ## set up, then audit a model, a damaged copy of it, and compare them
	$(BIN)/python examples/audit_mnist.py

demo-explore: $(VENV)/.demo  ## set up, then explore a VAE and a GAN of digits in the browser
	$(BIN)/python examples/explore.py

test: lint type pytest  ## set up, then lint, type-check and run the tests, without the slow ones

test-all: lint type conformance pytest-all  ## the same with every test: what a submission must pass

lint: $(VENV)/.test $(TREE)  ## ruff (rules and format) and import-linter (who may import whom)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	if [ -x "$(BIN)/lint-imports" ]; then \
		cd $(TREE) && "$(abspath $(BIN))/lint-imports" --no-cache --no-logo ../../pyproject.toml; \
	else echo "import-linter needs Python 3.11: the arrows were not checked." >&2; fi

type: $(VENV)/.test $(TREE)  ## mypy --strict over everything but the tests
	cd $(TREE) && "$(abspath $(BIN))/mypy" --config-file ../../pyproject.toml \
		--cache-dir ../../.mypy_cache -p pxgen_plugins
	cd $(TREE) && "$(abspath $(BIN))/mypy" --config-file ../../pyproject.toml \
		--cache-dir ../../.mypy_cache ../../examples
	cd $(TREE) && "$(abspath $(BIN))/mypy" --config-file ../../pyproject.toml \
		--cache-dir ../../.mypy_cache ../../benchmarks
	cd $(TREE) && "$(abspath $(BIN))/mypy" --config-file ../../pyproject.toml \
		--cache-dir ../../.mypy_cache ../../docs/site

# Readers of source do not see that adapters/ is pxgen_plugins.adapters: they get it as installed.
$(TREE):
	rm -rf $@
	mkdir -p $@/pxgen_plugins
	ln -s "$(CURDIR)"/pxgen_plugins/* $@/pxgen_plugins/
	ln -s "$(CURDIR)/adapters" $@/pxgen_plugins/adapters

# One thread per process: two on a busy machine of two cores can be nine times slower than one.
conformance: $(VENV)/.test $(OLD_ALIBI)/.done  ## the host's contract on alibi 0.9.4, the last Apache-2.0 one
	PYTHONPATH=$(OLD_ALIBI) $(BIN)/python -c \
		'from importlib.metadata import version; assert version("alibi") == "0.9.4"'
	PYTHONPATH=$(OLD_ALIBI) OMP_NUM_THREADS=1 $(BIN)/pytest $(SIDE_BY_SIDE) tests/conformance \
		$(NO_EXPLAINERS:%=--ignore=tests/conformance/test_%.py)

pytest: $(VENV)/.test  ## the tests and the doctests, without those marked slow
	OMP_NUM_THREADS=1 $(BIN)/pytest $(SIDE_BY_SIDE) -m "not slow and not long"

# ONCE=yes, as CI has it: what no host touches is tested once, by `make test-current`, but if slow.
pytest-all: $(VENV)/.test  ## every test
	OMP_NUM_THREADS=1 $(BIN)/pytest $(SIDE_BY_SIDE) -m "not long" $(if $(ONCE),$(ON_HOST))
	$(if $(ONCE),OMP_NUM_THREADS=1 $(BIN)/pytest $(SIDE_BY_SIDE) -m "slow and not long" $(OFF_HOST))

test-families: $(VENV)/.test  ## every default on a trained model of every family, half an hour or more
	OMP_NUM_THREADS=1 $(BIN)/pytest $(SIDE_BY_SIDE) -m long

test-gpu: $(VENV)/.test  ## the tests that need an NVIDIA card, then throughput and memory there; needs a CUDA build of torch
	OMP_NUM_THREADS=1 $(BIN)/pytest -m cuda
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/gpu.py

test-current:  ## the tests beside the newest of everything, without Alibi, in an environment of their own
	$(MAKE) VENV=$(CURRENT) ALIBI= pytest

test-tensorflow: $(TENSORFLOW)/.test  ## the adapter of Keras models, in an environment with TensorFlow
	OMP_NUM_THREADS=1 $(TENSORFLOW)/bin/python -m pytest tests/adapters/test_tensorflow.py

bench: $(VENV)/.bench  ## set up, then measure: a table and JSON, row by row; quick, to try it: BENCH=--quick
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run.py $(BENCH)

results: $(VENV)/.test $(VENV)/.bench  ## make every number of the documentation anew, hours; some: ONLY="demo top_k"
	$(BIN)/python examples/results.py $(if $(ONLY),--only $(ONLY)) $(RESULTS)

docs: $(VENV)/.docs  ## set up, then build the site from nothing into build/site; warnings are errors
	OMP_NUM_THREADS=1 $(BIN)/python docs/site/build_site.py

format: $(VENV)/.test  ## let ruff mend what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:  ## remove what building and testing leave
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environments too
	rm -rf $(VENV) $(CURRENT) $(OLD_ALIBI) $(TENSORFLOW)

$(BIN)/python:
	@for python in $(PYTHON); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making $(VENV) with $$python"; \
			"$$python" -m venv $(VENV) && exit 0; \
			rm -rf $(VENV); \
			echo "make: '$$python -m venv' failed. On Debian or Ubuntu, install python3-venv." >&2; \
			exit 1; \
		fi; \
	done; \
	echo "make: Python must be 3.11 or newer; none of these is: $(PYTHON)." \
		"Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	exit 1

$(VENV)/.demo: pyproject.toml constraints.txt constraints-current.txt | $(BIN)/python
	$(SAY)
	$(INSTALL) -e '.$(if $(WITH_ALIBI),[alibi])'
	touch $@

$(VENV)/.compare: pyproject.toml constraints.txt constraints-current.txt | $(BIN)/python
	$(SAY)
	$(INSTALL) -e '.[$(if $(WITH_ALIBI),alibi$(comma)aix360$(comma))captum,lime,opentsne,shap,umap]'
	touch $@ $(VENV)/.demo

$(VENV)/.test: pyproject.toml constraints.txt constraints-current.txt | $(BIN)/python
	$(SAY)
	$(INSTALL) -e '.[$(if $(WITH_ALIBI),alibi$(comma)aix360$(comma))all,test,dev,docs]'
	$(BIN)/python -m pip check
	touch $@ $(VENV)/.demo $(VENV)/.compare $(VENV)/.docs

$(VENV)/.docs: pyproject.toml constraints.txt constraints-current.txt | $(BIN)/python
	$(SAY)
	$(INSTALL) -e '.[$(if $(WITH_ALIBI),alibi$(comma))docs]'
	touch $@ $(VENV)/.demo

$(VENV)/.bench: pyproject.toml constraints.txt constraints-current.txt | $(BIN)/python
	$(INSTALL) -e '.$(if $(WITH_ALIBI),[alibi])' psutil
	$(INSTALL) -e '.[bench]' || echo "A peer did not install: going on, and its row will say so." >&2
	touch $@

# Made anew when anything changed: half an environment, left by a broken run, is no start. torch goes
# first, so that its CPU build is not replaced by what TensorFlow's resolution prefers.
$(TENSORFLOW)/.test: pyproject.toml constraints-tensorflow.txt
	rm -rf $(TENSORFLOW)
	$(TENSORFLOW_PYTHON) -m venv $(TENSORFLOW)
	$(TENSORFLOW)/bin/python -m pip install --disable-pip-version-check \
		-c constraints-tensorflow.txt torch
	$(TENSORFLOW)/bin/python -m pip install --disable-pip-version-check \
		-c constraints-tensorflow.txt -e '.[alibi]' 'alibi[tensorflow]' pytest
	$(TENSORFLOW)/bin/python -c 'import tensorflow'
	touch $@

$(OLD_ALIBI)/.done: | $(BIN)/python
	rm -rf $(OLD_ALIBI)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --target $(OLD_ALIBI) alibi==0.9.4
	touch $@
