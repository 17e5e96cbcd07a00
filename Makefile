# This file alone makes everything, in .venv and target. It needs git, Python 3.11 or newer, Rust, a C compiler
# and make; cmake, maturin and Node come from PyPI. GNU make, POSIX sh.

PYTHON ?= python3
OUT ?= demo
# Test processes: one per core, four at most, since each may take 2 GB; a file is run by one of them, so that what it sets up
# is set up once. `make test PARALLEL=` runs all tests in one process.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile

STAMPS := .venv/.pixq
PY := .venv/bin/python
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
# The bundle is built from these; git ignores it.
PAGE := python/pixq/study/page/page.js
WEB := $(shell find python/pixq/study/web -name node_modules -prune -o -name test -prune -o -type f -print) \
	$(addprefix python/pixq/http/assets/,flicker.js page.css icon.svg)
# A module that was deleted or never built is built again, whatever the stamps say.
MISSING := $(if $(wildcard python/pixq/_core*.so),,missing)

# turbojpeg's build calls cmake, and pyo3's calls python: both must be those of .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_REQUIRE_VIRTUALENV := 1
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH
# Without cached bytecode, each of the many processes of the tests would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE
# pyo3 compiles again when these change: with maturin's own values, clippy and maturin share one build.
MATURIN_ENV = PYO3_BUILD_EXTENSION_MODULE=1 PYO3_CONFIG_FILE="`ls "$(CURDIR)"/target/maturin/pyo3-config-*.txt | head -n 1`"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-fast test-rust fuzz lint bench docs pictures build clean missing

help:  ## This list
	@sed -n 's/^\([a-z][a-z-]*\):.*##  *\(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: $(STAMPS)/pixq  ## Set up, and build a patch set from photographs that come with scikit-image
	@$(PY) -m pixq demo --out "$(OUT)"

test: lint test-rust docs $(STAMPS)/test  ## Set up, and run every check and test
	$(PY) tools/study_page.py --test
	@$(PY) tests/support/browser.py
	$(PY) -m pytest $(PARALLEL) --durations=25

test-fast: $(STAMPS)/pixq $(STAMPS)/test  ## The Python tests that take less than about a second each
	$(PY) -m pytest $(PARALLEL) -m "not slow"

test-rust: $(STAMPS)/pixq  ## The Rust tests
	cargo test --release --locked --quiet

# Cases per decoder, and a folder of files to start from.
CASES ?= 100000
SEEDS ?= $(wildcard ../shared/cases)

fuzz: $(STAMPS)/pixq $(STAMPS)/test  ## Damage image files at random, CASES times per decoder, also those in the folder SEEDS
	PROPTEST_CASES=$(CASES) PIXQ_FUZZ_SEEDS="$(SEEDS)" cargo test --release --locked -p pixq-core --lib fuzz
	PIXQ_FUZZ_CASES=$(CASES) $(PY) -m pytest tests/core/test_decode_fuzz.py

lint: $(STAMPS)/pixq $(STAMPS)/test  ## Formats, clippy, ruff, types, and the stub against the compiled module
	cargo fmt --all --check
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports
	$(PY) -m mypy
	$(PY) -m mypy.stubtest pixq._core
	$(MATURIN_ENV) cargo clippy --release --locked --workspace --all-targets --quiet -- -D warnings

bench: $(STAMPS)/pixq $(STAMPS)/test  ## Kernels (criterion), across the boundary (pytest-benchmark), end to end
	cargo bench --locked
	$(PY) -m pytest benches
	$(PY) benches/kernels_numpy.py
	$(PY) benches/decode.py
	$(PY) benches/end_to_end.py
	$(PY) benches/training.py
	$(PY) benches/calibration.py
	$(PY) benches/prediction.py
	$(PY) benches/ladders.py
	$(PY) benches/ladder_make.py
	$(PY) benches/flicker.py
	$(PY) benches/study.py

docs: $(STAMPS)/pixq $(STAMPS)/test  ## The documentation, as HTML in docs/_build; warnings are errors
	$(PY) -m sphinx --quiet --fail-on-warning --keep-going --nitpicky --fresh-env docs docs/_build

pictures: $(STAMPS)/pixq  ## Draw the pictures of the documentation again
	$(PY) tools/pictures.py

build: $(STAMPS)/pixq  ## Set up .venv and compile pixq into it

clean:  ## Remove .venv, target and all caches; demo outputs and patch sets stay
	rm -rf .venv target dist THIRD-PARTY-NOTICES.txt docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks python/pixq/_core*.so \
		python/pixq/study/page python/pixq/study/web/node_modules
	find . -path ./.git -prune -o -name __pycache__ -prune -exec rm -rf {} +

$(STAMPS)/venv:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "pixq: $(PYTHON) was not found: install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "pixq: $(PYTHON) is `"$(PYTHON)" -V 2>&1`; pixq needs 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "pixq: $(PYTHON) has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@command -v cargo >/dev/null || { \
		echo "pixq: cargo was not found: install Rust 1.89 or newer (https://rustup.rs) and put it on PATH" >&2; exit 1; }
	@command -v cc >/dev/null || { \
		echo "pixq: cc was not found: install a C compiler (Debian and Ubuntu: apt-get install build-essential)" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(PY) -m pip install --quiet 'pip>=25.1'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/build: pyproject.toml | $(STAMPS)/venv
	$(PY) -m pip install --quiet --group build
	@touch $@

$(PAGE): $(WEB) tools/study_page.py | $(STAMPS)/build
	$(PY) tools/study_page.py
	@test ! -e $@ || touch $@

THIRD-PARTY-NOTICES.txt: Cargo.lock $(PAGE) tools/third_party.py | $(STAMPS)/build
	$(PY) tools/third_party.py

# maturin installs the dependencies as well. The page is used in place, so a new one needs no new build.
$(STAMPS)/pixq: $(RUST) pyproject.toml $(MISSING) THIRD-PARTY-NOTICES.txt | $(STAMPS)/build $(PAGE)
	@case `uname -m` in x86_64|amd64|i?86) command -v nasm >/dev/null || \
		echo "pixq: nasm was not found, so JPEG decoding will be slower; for full speed install nasm, then: make clean build" >&2;; esac
	PIP_QUIET=1 $(PY) -m maturin develop --release --extras report,demo,serve,study
	@touch $@

$(STAMPS)/test: pyproject.toml | $(STAMPS)/pixq
	$(PY) -m pip install --quiet --group test
	@touch $@
