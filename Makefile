# Everything a person or a CI machine runs here. `make` alone lists it.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# Used by the tests that talk to Draftsman from Python.
PY_VENV    := target/py-venv
PY_STAMP   := $(PY_VENV)/.ready
PY_LIBS    := tests/python/requirements.txt
# Carries axe-core; what else it needs is not used.
PY_AXE     := axe-playwright-python==0.1.8
# The programs under test can be made to die at named places (shared/src/fail_point.rs); no other
# build can.
FAIL_POINTS := --features worker/fail-points,intake/fail-points
# What `make bench` hands to the load generator, as in: make bench BENCH_ARGS=--json
BENCH_ARGS ?=
# How long `make chaos` puts everything under load and faults, and the seed of the faults; empty:
# another each time.
SECONDS ?= 60
SEED ?=
# Only mutants whose script or description contains this text; empty: all.
MUTANTS ?=

.DEFAULT_GOAL := help
.PHONY: help demo up install dist test test-compose check proto unit chaos mutants bench docs fmt missing py-venv clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: missing ## build, start everything, have issues applied and one denied
	cargo build --package cli
	DRAFTSMAN='$(TARGET_DIR)/debug/draftsman' deploy/demo.sh

up: missing ## build and run everything on this machine; the data is kept in .draftsman/
	cargo build --package cli
	'$(TARGET_DIR)/debug/draftsman' up

install: missing ## build a release and install `draftsman` in ~/.cargo/bin
	cargo install --locked --path cli

dist: missing ## release packages in target/dist-packages: tarball, .deb, SBOM, checksums
	cargo build --locked --profile dist --package intake --package worker --package cli
	deploy/package/build.sh '$(TARGET_DIR)/dist' target/dist-packages

test: missing py-venv check unit ## formatting, lints, every test with private redis-servers

check: proto ## formatting and lints only, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(FAIL_POINTS) -- -D warnings
	@if ! command -v python3 >/dev/null; then echo 'check: language.py is skipped: no python3'; \
	else echo 'python3 tests/language.py' && python3 tests/language.py; fi

proto: py-venv ## lints, form and compatibility of the protos, with buf
	@if [ ! -e '$(PY_STAMP)' ]; then echo 'proto: skipped: no Python with $(PY_LIBS)'; exit 0; fi; \
	cd proto && buf='$(CURDIR)/$(PY_VENV)/bin/buf' && set -ex && \
	"$$buf" lint && "$$buf" format --diff --exit-code && "$$buf" breaking --against baseline.binpb

# The suites start `intake`, `worker` and `draftsman` as processes: built here with everything else,
# in one go, so that no dependency is built twice for other features. The tests wait for processes
# most of the time, so twice as many run as there are cores.
unit: ## every test, without formatting and lints
	cargo build --workspace --all-targets $(FAIL_POINTS)
	if [ -e '$(PY_STAMP)' ]; then export DRAFTSMAN_TEST_PYTHON='$(CURDIR)/$(PY_VENV)/bin/python'; fi; \
	export RUST_TEST_THREADS="$${RUST_TEST_THREADS:-$$((2 * $$(getconf _NPROCESSORS_ONLN)))}"; \
	DRAFTSMAN_TEST_BIN_DIR='$(TARGET_DIR)/debug' cargo test --workspace $(FAIL_POINTS)

# Both kinds of programs are those of `unit`, so that nothing is built again after `make test`.
test-compose: missing py-venv ## the compose file on a container engine, with faults
	@if [ ! -e '$(PY_STAMP)' ]; then echo 'test-compose: skipped: no Python with $(PY_LIBS)'; exit 0; fi; \
	cargo build --workspace --bins $(FAIL_POINTS) && \
	'$(PY_VENV)/bin/python' tests/compose/main.py '$(TARGET_DIR)/debug'

chaos: missing ## load and faults, then the checker: make chaos SECONDS=600 SEED=7
	cargo build --workspace --bins $(FAIL_POINTS)
	DRAFTSMAN_TEST_BIN_DIR='$(TARGET_DIR)/debug' '$(TARGET_DIR)/debug/chaos' --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

mutants: missing ## mistakes put into the Redis scripts; each must fail a test
	cargo build --workspace --bins --test suite $(FAIL_POINTS)
	'$(TARGET_DIR)/debug/mutants' $(MUTANTS)

bench: missing ## measure release builds; options go in BENCH_ARGS, as in BENCH_ARGS=--json
	cargo build --release --package intake --package worker --package cli --package tests
	DRAFTSMAN_TEST_BIN_DIR='$(TARGET_DIR)/release' '$(TARGET_DIR)/release/bench' $(BENCH_ARGS)

docs: ## write the generated pages of docs/ again
	DRAFTSMAN_UPDATE_DOCS=1 cargo test --package cli docs_cli_md

fmt: ## format the Rust sources
	cargo fmt --all

missing:
	@deploy/install-missing.sh

# Without a Python that can make one, the tests that need it say so and are skipped; nothing else
# depends on it.
py-venv:
	@if [ '$(PY_STAMP)' -nt '$(PY_LIBS)' ]; then exit 0; fi; \
	rm -rf '$(PY_VENV)'; mkdir -p target; \
	if python3 -m venv '$(PY_VENV)' && '$(PY_VENV)/bin/python' -m pip install --quiet --disable-pip-version-check --requirement $(PY_LIBS) \
	    && '$(PY_VENV)/bin/python' -m pip install --quiet --disable-pip-version-check --no-deps $(PY_AXE); then \
	    touch '$(PY_STAMP)'; \
	else \
	    rm -rf '$(PY_VENV)'; \
	    echo 'make: no Python with $(PY_LIBS) (Debian, Ubuntu: apt-get install python3-venv); the Python clients are not tested' >&2; \
	fi

clean: ## remove what was built
	cargo clean
	rm -rf '$(PY_VENV)'
