# The two commands: `make demo` runs the whole workflow on the embedded data set and shows its
# result; `make test` passes the tests. Each sets up .venv by itself.
PYTHON ?= python3
SHELL := bash
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake
CONFIG ?=
PLUGIN := snakemake-executor-plugin-slurm
# Two OpenMP threads on a busy machine are ten times slower than one; jobs set their own number.
export OMP_NUM_THREADS := 1
# The lock must decide what is installed, not a machine's own lists of packages.
export PIP_FIND_LINKS :=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all test-slurm cluster lint format docs readme lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: .venv/ready ## run the workflow on generated pictures; print the table and the report's path
	@$(SNAKEMAKE) --cores all --quiet rules reason progress $(CONFIG)
	@echo; cat results/shapes/report/test/table.md
	@echo; echo "report: results/shapes/report/test/index.html"

test: .venv/ready ## the tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal tests/unit tests/workflow

test-all: .venv/ready ## the tests, and the slower suites: end to end, browser, SLURM
	@$(BIN)/python -m pytest -n 2 --dist worksteal --ignore tests/slurm tests
	@$(MAKE) test-slurm

test-slurm: .venv/cluster ## the workflow on a SLURM cluster of its own, on this machine
	@tests/slurm/run.sh

cluster: .venv/cluster ## install what runs the workflow on SLURM (docs/slurm.md)

lint: .venv/ready ## ruff, mypy, snakefmt and Snakemake's own linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(SNAKEMAKE) --lint

format: .venv/ready ## put every file into its standard form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt Snakefile workflow

docs: .venv/ready ## generate the pages and the environment that follow from code and lock
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/costs_page.py
	@$(BIN)/python envs/generate.py

readme: demo ## put the demo's table and figure into the README
	@$(BIN)/python docs/readme.py

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
		--no-annotate --no-header pyproject.toml -o requirements.lock
	echo $(PLUGIN) | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --constraints requirements.lock - -o requirements-slurm.lock
	comm -23 <(grep -o '^[^ =]*==' requirements.lock | sort -u) <(uv pip compile --quiet --universal \
		--python-version 3.11 --no-annotate --no-header --constraints requirements.lock \
		pyproject.toml | grep -o '^[^ =]*==' | sort -u) | tr -d = > envs/development.txt

clean: ## remove results, not downloads
	rm -rf results .snakemake

# uv installs in seconds and pip in minutes; both check every hash. Byte code is compiled now, as pip
# does: where Python may not write it later, torch would take three times as long to import, each time.
.venv/ready: requirements.lock pyproject.toml
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
		uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

# Apart from the rest: Snakemake imports every plugin that it finds, in every run, and this one
# brings pandas and asks SLURM things. Who runs without SLURM need not wait for that.
.venv/cluster: .venv/ready requirements-slurm.lock
	@if command -v uv >/dev/null; then \
		uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-slurm.lock; \
	else \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements-slurm.lock; \
	fi
	@touch $@
