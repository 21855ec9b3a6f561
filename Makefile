# Everything runs in .venv, which `make setup` builds from the lock and every other target checks first.
.DEFAULT_GOAL := help
# Byte code that is kept halves the start of the test runs.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help setup demo test check lint types unit fuzz lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## build .venv (does nothing when it is current); PYTHON=/path/to/python picks the interpreter
	@./scripts/setup

demo: setup ## run the whole stack on disordered webhooks and watch an answer being corrected
	.venv/bin/recount demo

test: setup ## run every test
	.venv/bin/python -m pytest -m "not model and not stack" --numprocesses auto
	.venv/bin/python -m pytest -m "model or stack" --ignore tests/stack --numprocesses auto --dist loadfile
	.venv/bin/python -m pytest -m "model or stack" tests/stack

check: lint types unit ## what to run before a commit: lint, types and the tests that need no stack

lint: setup ## ruff, and what else is asked of code and documents: layers, sizes, names that exist
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/python -m pytest tests/tidy tests/docs --numprocesses auto -q

types: setup ## mypy, strict
	.venv/bin/mypy

# What they write is gone afterwards, and need not wait for a disk where memory can hold it.
unit: export TMPDIR := $(or $(wildcard /dev/shm),$(TMPDIR),/tmp)
unit: setup ## the quick tests: no Ray, network or model, and few examples of what is drawn
	.venv/bin/python -m pytest -m "not model and not stack and not long" --numprocesses auto --hypothesis-profile quick \
	  --dist worksteal --override-ini tmp_path_retention_policy=none \
	  --ignore tests/tidy --ignore tests/docs --ignore tests/stack

fuzz: setup ## spoilt messages of every source for SECONDS (600)
	.venv/bin/python -m tests.fuzz $(or $(SECONDS),600)

lock: setup ## resolve pyproject.toml into requirements/*.lock
	./scripts/lock

clean: ## remove what the tools wrote; .venv and the data in var/ stay
	rm -rf build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
