# All tools live in .venv. What is tested, checked and measured is the installed wheel, never the
# source tree. Stamp files (.venv/.tools, dist/.wheel, …) make repeated calls quick.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

VENV := .venv
NEWEST := .venv-newest
BIN := $(VENV)/bin
# Python test processes at a time; each of them loads TensorFlow.
JOBS ?= 2

export PYO3_PYTHON := $(abspath $(BIN)/python)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Directories are listed too: a deleted file changes nothing else.
SOURCES := $(shell find rust python -name __pycache__ -prune -o -path '*/tests' -prune -o -print) \
    Cargo.toml $(wildcard Cargo.lock) pyproject.toml README.md LICENSE

.PHONY: help dev fmt lint test test-rust test-python test-newest bench bench-smoke dist demo clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

dev: $(VENV)/.installed ## .venv with every tool and the built wheel in it

demo: $(VENV)/.installed ## restore a 1 GiB model with TensorFlow and with ckptfast
	$(BIN)/python examples/demo.py

test: test-rust test-python test-newest ## everything, on up to two versions of Python

test-rust: ## the Rust core's own tests
	cargo test --package ckptfast --all-features --locked

test-python: $(VENV)/.installed dist/.sdist ## the Python tests, on the wheel in .venv
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadgroup

test-newest: $(NEWEST)/.installed ## the same wheel on the newest CPython here that TensorFlow supports
	@if [ -x $(NEWEST)/bin/pytest ]; then
	    $(NEWEST)/bin/pytest --numprocesses $(JOBS) --dist loadgroup -m "not build"
	else
	    echo "No second environment: $(VENV) has the newest CPython here that TensorFlow supports."
	fi

lint: $(VENV)/.installed ## rustfmt, clippy, ruff, mypy and stubtest
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd $(VENV) # where the stub of the wheel is found, and not that of the sources
	bin/python -m mypy.stubtest --allowlist ../.ci/stubtest-allowlist --ignore-unused-allowlist \
	    ckptfast._native

fmt: $(VENV)/.installed ## format Rust and Python in place
	cargo fmt --all
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed ## the table of docs/benchmarks.md, on this machine
	$(BIN)/python -m benches

bench-smoke: $(VENV)/.installed ## every benchmark once, on small data
	$(BIN)/python -m benches --size smoke

dist: dist/.wheel dist/.sdist ## wheel and source distribution in dist/

clean: ## remove everything that make has made
	rm -rf $(VENV) $(NEWEST) dist target .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.tools: pyproject.toml .ci/find-python
	python=$$(.ci/find-python default)
	[ -x $(BIN)/python ] || $$python -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group build
	touch $@

# PATH: maturin asks the first `python3` there for zig.
dist/.wheel: $(VENV)/.tools $(SOURCES)
	mkdir -p dist
	rm -f dist/ckptfast-*.whl
	PATH="$(abspath $(BIN)):$$PATH" maturin build --release --zig --compatibility manylinux_2_28 --out dist
	touch $@

dist/.sdist: $(VENV)/.tools $(SOURCES)
	mkdir -p dist
	rm -f dist/ckptfast-*.tar.gz
	$(BIN)/maturin sdist --out dist
	touch $@

# --no-deps, because --force-reinstall would otherwise fetch TensorFlow again.
$(VENV)/.installed: dist/.wheel
	wheel=$$(echo dist/ckptfast-*.whl)
	$(BIN)/python -m pip install --quiet "$${wheel}[dev]"
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps "$$wheel"
	touch $@

# Stays empty where the newest interpreter is the one in .venv.
$(NEWEST)/.installed: dist/.wheel .ci/find-python
	mkdir -p $(NEWEST)
	python=$$(.ci/find-python newest)
	minor='import sys; print(sys.version_info[1])'
	if [ "$$($$python -c "$$minor")" != "$$($(BIN)/python -c "$$minor")" ]; then
	    [ -x $(NEWEST)/bin/python ] || $$python -m venv $(NEWEST)
	    wheel=$$(echo dist/ckptfast-*.whl)
	    $(NEWEST)/bin/python -m pip install --quiet "$${wheel}[test]"
	    $(NEWEST)/bin/python -m pip install --quiet --force-reinstall --no-deps "$$wheel"
	fi
	touch $@
