# Every task of the project; `make` alone lists them.
#
# A fresh machine needs git, make, a Rust toolchain and Python 3.11 or newer with pip (the wheel itself: 3.10). Everything else is installed here: pinned
# Python packages into .venv, and the few Debian packages the tests use (with apt-get, only where they are missing).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# rustup's directory is on PATH in login shells only; CI and cron have none.
export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO_NET_RETRY := 10
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first interpreter that really runs (a pyenv shim may not) and is new enough. `make PYTHON=python3.13 test` chooses another.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

VENV := .venv
PY := $(CURDIR)/.venv/bin/python
# One interpreter for every build with the `python` feature, or pyo3's build script runs again at each turn.
export PYO3_PYTHON := $(PY)

RUST := Cargo.toml Cargo.lock $(shell find src -name '*.rs')
WHEEL_SOURCES := $(RUST) pyproject.toml README.md LICENSE-MIT LICENSE-APACHE $(shell find python -name '*.py' -o -name '*.pyi' -o -name py.typed 2>/dev/null)
PYTEST := $(PY) -m pytest

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------------------------------------------- what others need

.PHONY: tools-present
tools-present:
	@tools/debian_packages cc=gcc cc=libc6-dev strace=strace jq=jq mkfs.ext4=e2fsprogs mount=mount faketime=faketime logrotate=logrotate
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; install one, or say which: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "make: cargo not found; install Rust from https://rustup.rs and try again" >&2; exit 1; }

# The tests' environment, pinned. Stamps live inside .venv, so that removing the directory is all it takes to start again.
$(VENV)/requirements.stamp: tests/requirements.txt | tools-present
	@echo "== installing tests/requirements.txt into .venv"
	$(PYTHON) -m venv --clear $(VENV) || { tools/debian_packages --install python3-venv; $(PYTHON) -m venv --clear $(VENV); }
	$(PY) -m pip install --quiet -r tests/requirements.txt
	@touch $@

# The wheel that users get: release mode, abi3.
dist/wheel.stamp: $(WHEEL_SOURCES) $(VENV)/requirements.stamp
	@echo "== building the wheel"
	rm -rf dist
	$(VENV)/bin/maturin build --release --locked --interpreter $(PY) --out dist
	@touch $@

$(VENV)/wheel.stamp: dist/wheel.stamp
	@echo "== installing the wheel into .venv"
	$(PY) -m pip install --quiet --force-reinstall --no-deps --no-index dist/logspool-*.whl
	@touch $@

# The extension with places to stop or fail at, beside the wheel: the fault tests show with it that they can fail.
.make/failpoints/stamp: $(RUST) tests/faults/build_failpoints.sh $(VENV)/requirements.stamp
	@echo "== building the extension with failpoints"
	tests/faults/build_failpoints.sh $(PY)
	@touch $@

# ------------------------------------------------------------------------------------------------------------- targets

.PHONY: dev
dev: $(VENV)/requirements.stamp ## an editable install in .venv: edit python/ at once, `make dev` again after editing src/
	rm -f $(VENV)/wheel.stamp
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/maturin develop --release --locked

.PHONY: test
test: lint types docs test-rust test-python test-faults bench-smoke ## all that a change must pass; installs all that it needs

.PHONY: test-all
test-all: test wheel versions mcp-versions fuzz faults demo bench soak ## everything: the long fault rounds, the soak and the full benchmarks too

.PHONY: lint
lint: $(VENV)/requirements.stamp ## rustfmt, clippy (pedantic, with and without Python), ruff
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features python -- -D warnings
	cargo clippy --locked --all-targets --features failpoints -- -D warnings
	cargo clippy --locked --all-targets --features tracing -- -D warnings
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

.PHONY: types
types: $(VENV)/wheel.stamp ## mypy --strict, and the native module against its stub
	$(PY) -m mypy
	$(PY) -m mypy.stubtest --concise logspool._core

.PHONY: test-rust
test-rust: $(VENV)/requirements.stamp ## the Rust tests, without an interpreter
	if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --locked --features tracing && cargo test --locked --features tracing --doc; \
	else \
		cargo test --locked --features tracing; \
	fi
	# The same random bytes each time: `make fuzz` is for finding, this for keeping what was found.
	PROPTEST_RNG_SEED=3 cargo test --locked --features failpoints --test crash_model --test crash_races --test fuzz

.PHONY: test-python
test-python: $(VENV)/wheel.stamp .make/failpoints/stamp ## the Python tests, on the installed wheel
	$(PYTEST) tests/python

.PHONY: test-faults
test-faults: $(VENV)/wheel.stamp .make/failpoints/stamp ## the fault tests, short form
	$(PYTEST) tests/faults

.PHONY: bench-smoke
bench-smoke: $(VENV)/wheel.stamp ## every benchmark once, small: that they run and that no route loses a line
	LOGSPOOL_BENCH_QUICK=1 $(PYTEST) benches/python

.PHONY: wheel
wheel: dist/wheel.stamp ## build dist/*.whl and prove that it installs and logs in an empty environment
	rm -rf .make/empty
	mkdir -p .make
	$(PYTHON) -m venv .make/empty
	.make/empty/bin/python -m pip install --quiet --no-index --no-deps dist/logspool-*.whl
	.make/empty/bin/python -I tools/check_wheel.py
	@ls -l dist/*.whl

.PHONY: versions
versions: dist/wheel.stamp ## stack traces and the fast path under every Python that is installed here, 3.10 and newer
	tests/python/versions.sh

.PHONY: mcp-versions
mcp-versions: dist/wheel.stamp ## logspool.mcp with the SDKs that the tests do not have: version 1 of the official one, fastmcp
	tests/python/mcp_versions.sh $(PYTHON)

.PHONY: demo
demo: dist/wheel.stamp ## two real MCP servers, before and after: what the models cost, what is on disk, what logging takes
	rm -rf .make/demo
	mkdir -p .make
	$(PYTHON) -m venv .make/demo
	.make/demo/bin/python -m pip install --quiet -r examples/requirements.txt
	.make/demo/bin/python -m pip install --quiet --no-index --no-deps dist/logspool-*.whl
	.make/demo/bin/python examples/demo.py

# Some peers have no release for older interpreters: the newest of those that all support, where there is one.
BENCH_PYTHON ?= $(shell for p in python3.12 "$(HOME)"/.pyenv/versions/3.12.*/bin/python3 python3.13 "$(HOME)"/.pyenv/versions/3.13.*/bin/python3 $(PYTHON); do \
	"$$p" -c 'import venv' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

# The interpreter that the benchmarks' processes run in: the peers and the wheel, apart from the tests' environment.
.make/peers/requirements.stamp: benches/peers/requirements.txt benches/python/install_peers.py | tools-present
	@echo "== installing benches/peers/requirements.txt into .make/peers"
	@mkdir -p .make
	$(BENCH_PYTHON) -m venv --clear .make/peers
	.make/peers/bin/python benches/python/install_peers.py
	@touch $@

.make/peers/wheel.stamp: dist/wheel.stamp .make/peers/requirements.stamp
	.make/peers/bin/python -m pip install --quiet --force-reinstall --no-deps --no-index dist/logspool-*.whl
	@touch $@

.PHONY: bench
bench: export LOGSPOOL_BENCH_PYTHON := $(CURDIR)/.make/peers/bin/python
bench: $(VENV)/wheel.stamp .make/peers/wheel.stamp ## measure against the peers, interleaved, and print the tables (about 35 minutes; goes on where it was stopped)
	$(PYTEST) -o faulthandler_timeout=7200 benches/python
	$(PY) benches/python/toolcalls.py
	$(PY) benches/python/mcpcalls.py
	cargo bench --locked --features tracing --bench spool --bench flat --bench tracing
	$(PY) benches/python/tables.py

.PHONY: profile
profile: export LOGSPOOL_BENCH_PYTHON := $(CURDIR)/.make/peers/bin/python
profile: $(VENV)/requirements.stamp .make/peers/requirements.stamp ## count the instructions of one call, by function, under valgrind (with symbols, in .make/profile)
	@tools/debian_packages valgrind=valgrind
	benches/profile.sh $(PY)

.PHONY: bench-docs
bench-docs: ## write the figures of the last `make bench`, `make soak` and `make profile` into docs/benchmarks.md, with plots
	$(PY) benches/python/tables.py --write docs/benchmarks.md

.PHONY: soak
soak: $(VENV)/wheel.stamp ## ten minutes of tool calls on the example servers: no drops, rotation and compression seen
	$(PYTEST) -s tests/soak

.PHONY: faults
faults: $(VENV)/wheel.stamp .make/failpoints/stamp ## the fault tests, long form: 10,000 rounds of kill -9 and the rest; writes docs/reliability.md
	rm -f .make/reliability.jsonl
	LOGSPOOL_FAULTS=long $(PYTEST) -o faulthandler_timeout=7200 tests/faults
	LOGSPOOL_FAULTS=long cargo test --locked --features failpoints --test crash_model --test crash_races -- --nocapture
	$(PY) -m tests.faults.reliability --whole

.PHONY: fuzz
fuzz: $(VENV)/requirements.stamp ## the fuzz targets, FUZZ_SECONDS (60) each, and the property tests with a million cases each
	tests/fuzz/run.sh
	PROPTEST_CASES=1000000 cargo test --locked --release

.PHONY: docs
docs: $(VENV)/wheel.stamp ## check the documents: links resolve, the README's code runs, every variable is described
	$(PY) tools/check_docs.py
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --document-private-items --features tracing

.PHONY: clean
clean: ## remove what was built (not cargo's target directory)
	rm -rf .venv .make dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
