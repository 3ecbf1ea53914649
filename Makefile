PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.set-up
PORT ?= 8501

# Every pip call, those of its own builds included, keeps to the pinned versions: torch above all. pip splits this
# variable at spaces, so that a folder with a space in its name needs a URL.
space := $(subst ,, )
export PIP_CONSTRAINT := file://$(subst $(space),%20,$(CURDIR))/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Nothing here needs a model hub, and the type checker need not look for a newer one.
export HF_HUB_OFFLINE := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# What needs no torch, and is tested on a second Python too, with these packages.
LIGHT_TESTS := tests/polyhead/batch tests/polyhead/evaluation tests/polyhead/test_samples.py \
	tests/polyhead/runs/test_differences.py tests/polyhead/training/test_sampling.py tests/polyhead/system/test_files.py
LIGHT_PACKAGES := hypothesis numpy pydantic pytest pytest-timeout rich scikit-learn scipy
LIGHT_BIN := .venv-light/bin

.PHONY: help setup demo app lint test test-light clean

help:
	@echo "make demo    set up, then train, predict and score on simulated images; minutes on two cores"
	@echo "make app     set up, then serve the pages on port $(PORT)"
	@echo "make test    set up, then everything that CI runs"
	@echo "make lint    the checks of make test that run no code: format, lint, types, layers, cards, licences"
	@echo "make test-light PYTHON=python3.13   what needs no torch, on another Python"
	@echo "make setup   the environment in .venv alone"
	@echo "make clean   remove caches, builds, the demo and the environment"

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,fast,dicom,pde,genomics]'
	@touch $@
	@echo "polyhead is $(BIN)/polyhead; source $(BIN)/activate puts it on the PATH of a shell"

demo: $(SETUP)
	$(BIN)/polyhead demo ultrasound -o demo

app: $(SETUP)
	$(BIN)/polyhead app --port $(PORT)

lint: $(SETUP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/polyhead cards check
	$(BIN)/polyhead doctor --licences

test: lint
	$(BIN)/python -m pytest

test-light:
	$(PYTHON) -m venv --clear .venv-light
	$(LIGHT_BIN)/python -m pip install --quiet -c constraints.txt $(LIGHT_PACKAGES)
	$(LIGHT_BIN)/python -W error -m compileall -q -f polyhead domains apps ui data_cards docs/example
	$(LIGHT_BIN)/python -m pytest $(LIGHT_TESTS)

clean:
	rm -rf .venv .venv-light demo build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
