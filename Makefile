# The doors to the project. `make` alone lists them.
.POSIX:
.PHONY: help demo test stop environment lint clean
.DEFAULT_GOAL := help

export TORCH_INDEX PYTHON

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu   takes the CPU build of torch,"
	@echo "  where plain pip would bring gigabytes of CUDA along; PYTHON=... names the interpreter."

demo: environment ## install, start everything and play the loop twice
	@.venv/bin/reranker demo

test: environment ## all tests, a file on each of two cores
	@.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0

stop: ## end what the demo started, and nothing else
	@if [ -x .venv/bin/reranker ]; then .venv/bin/reranker stop; else echo "There is no environment, so nothing runs."; fi

environment: ## make .venv from the pinned requirements, unless it is up to date
	@deployments/local/install.sh

lint: environment ## format, style, types and import rules
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

clean: stop ## stop, then remove the environment and all local state
	@rm -rf .venv .reranker
	@if [ -n "$(RERANKER_HOME)" ]; then echo "The state folder $(RERANKER_HOME) is kept: RERANKER_HOME is yours."; fi
