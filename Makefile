# Everything works from any folder: make -C PATH TARGET.
ROOT := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
PYTHON := $(ROOT)/.venv/bin/python
RUN := cd $(ROOT) && $(PYTHON)
# two workers suit two cores: the lab's tests mostly wait
TEST_WORKERS ?= 2
.DEFAULT_GOAL := help
.PHONY: help env up down test test-pure lint format docs bench bench-publish fuzz preview gpu-bundle

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-13s %s\n", $$1, $$2}' $(ROOT)/Makefile

env: ## the locked Python environment, by uv in the project's own folder
	@sh $(ROOT)/bootstrap.sh

up: env ## the main job on the embedded lab: a bare node to an encoding worker
	@$(RUN) -m lab up

down: env ## end the lab and leave nothing behind
	@$(RUN) -m lab down

test: env ## lint, types and every test, the lab's too
	@$(RUN) -m lab prepare
	@$(MAKE) --no-print-directory -f $(ROOT)/Makefile lint
	@$(RUN) -m pytest -q -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-pure: env ## the tests that need neither root nor the lab
	@$(RUN) -m pytest -q -m "not lab and not containerd"

lint: env ## format check, lint, strict types
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

docs: env ## the documentation into .site/, strict: a link that leads nowhere fails
	@$(RUN) -m sphinx --quiet --fail-on-warning --keep-going --nitpicky -d .site/.doctrees docs .site

format: env ## format and sort imports
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

preview: env ## what an update would do to every stack, policies included
	@$(ROOT)/.tools/bin/uv sync --quiet --locked --project $(ROOT)/policy
	@$(RUN) -m talos_gpu preview

bench: env ## speed and size against named references, on a lab of its own
	@$(RUN) -m bench

bench-publish: env ## measure everything and put it into docs/benchmarks.md and its plots
	@$(RUN) -m bench --publish

fuzz: env ## the long runs: 100,000 CDI specs, 10,000 machine configs, each against the official Go code
	@cd $(ROOT) && TALOS_GPU_FUZZ=100000 $(PYTHON) -m pytest -q -s tests/cdi/test_differential.py
	@cd $(ROOT) && TALOS_GPU_FUZZ=10000 $(PYTHON) -m pytest -q -s tests/talos/test_oracle.py

gpu-bundle: env ## what a machine with a real GPU needs to run prove, in one file under 60 MB
	@$(RUN) -m gpu_proof.bundle
