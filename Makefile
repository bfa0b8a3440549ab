# Everything sets itself up: a virtual environment in .venv, by uv where it is there, else by pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := offline,align,thermal,geo,video,export,openvino,app,serve,robots,cluster,trackers,docs,dev
# A process per core, up to eight, each with one thread of torch; a file's tests stay together and share what they make.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile
UV := $(shell command -v uv 2>/dev/null)
# Keeping freed memory saves a fifth of a training step on Linux (docs/notebook/training-cost.md); harmless elsewhere.
export MALLOC_MMAP_MAX_ ?= 0
export MALLOC_TRIM_THRESHOLD_ ?= 17179869184

.PHONY: demo docs notebooks test test-slow test-all test-lowest lint format plugin clean help

help:
	@echo "make demo      train a small CIMNet on synthetic scenes and write runs/demo/report.html (two to five minutes)"
	@echo "make docs      build the documentation site into site/; python -m http.server -d site shows it"
	@echo "make notebooks run examples/notebooks and write their pages, docs/notebooks (a few minutes)"
	@echo "make test      lint, type check, import contracts, fast tests"
	@echo "make test-slow the others: slow, export, docs, browser, cluster"
	@echo "make test-all  both"
	@echo "make test-lowest  the fast tests in two fresh environments without extras: lowest versions, current versions"
	@echo "make format    format the code"
	@echo "make plugin    dist/cimnet-qgis.zip, for QGIS: Plugins, Install from ZIP"

demo: $(VENV)/ready
	$(BIN)/cimnet demo --out runs/demo

docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

notebooks: $(VENV)/ready
	$(BIN)/python docs/_site/notebook_pages.py

plugin:
	$(PYTHON) desktop/qgis/make_zip.py dist/cimnet-qgis.zip

test: lint $(VENV)/ready
	$(PYTEST)

test-slow: $(VENV)/ready
	$(PYTEST) -m "(slow or export or docs) and not browser and not cluster and not qgis"
	$(PYTEST) -m "browser or cluster or qgis"  # apart: these start processes of their own

test-all: test test-slow

test-lowest:
	.ci/minimum
	.ci/no_extras

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/ready: pyproject.toml constraints.txt
ifdef UV
	test -x $(BIN)/python || uv venv --python $(PYTHON) $(VENV)
	uv pip install --python $(BIN)/python -c constraints.txt -e ".[$(EXTRAS)]"
else
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[$(EXTRAS)]"
endif
	touch $@

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache
