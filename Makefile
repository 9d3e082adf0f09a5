# Everything from a bare Python 3.11 to 3.13, pip and make. `make` alone lists the targets.

export UV_SYSTEM_CERTS = 1
# Without byte code Meltano and the tap take twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
MATPLOTLIB := 3.11.2
CHART := .venvs/chart/.matplotlib-$(MATPLOTLIB)
DOCS := .venvs/docs/.ready
RELEASE := .venvs/release/.ready
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links
WHEEL ?= .
SPARK := 4.3.0
HOURS := 1
WITH_SPARK := .venvs/spark-$(SPARK)
SCHEMATHESIS := 4.32.5
CONFORMANCE := .venvs/conformance/.schemathesis-$(SCHEMATHESIS)
CASES ?= 1000
REPLIES ?= 20000
SEED ?= 1
MUTANTS := .venvs/mutants/.ready

.PHONY: help demo demo-dlt demo-parquet demo-spark test test-heavy test-pythons test-singer-sdk test-wheel test-lowest test-spark soak mutants mutants-changed lint golden conformance openapi sync key constraints clean report bench bench-peers bench-spark chart docs audit sbom

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(READY)  ## sync a made-up LlamaCloud into DuckDB, twice; build marts and a report
	@$(BIN)/python -m demo

demo-parquet: $(READY)  ## sync a made-up LlamaCloud into Parquet files, and query them
	@$(BIN)/python -m demo.parquet

demo-dlt: $(READY)  ## load a made-up LlamaCloud into DuckDB with dlt, twice; show what moved
	@$(BIN)/python -m demo.dlt_demo

demo-spark: $(WITH_SPARK)/.ready  ## query a made-up LlamaCloud with Spark, and stream what is new
	@$(WITH_SPARK)/bin/python -m demo.spark_demo

test: lint  ## lint, then every test that is not marked heavy
	$(BIN)/pytest -n 2 --dist loadfile -m "not heavy"

test-heavy: $(READY)  ## the tests marked heavy: kills, PostgreSQL, a browser, long simulations
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m heavy

test-pythons: $(READY)  ## what test runs, but for Meltano and dbt, on each Python from 3.11 on
	$(BIN)/python tests/support/pythons.py $(PYTHONS)

test-singer-sdk: $(READY)  ## the tests of Singer with the newest singer-sdk allowed, pre-releases too
	$(BIN)/python tests/support/newest_singer_sdk.py

test-wheel: $(READY)  ## the tests that need no source, with the wheel, away from the checkout
	$(BIN)/python tests/support/wheels.py

test-lowest: $(READY)  ## the same with the lowest of each library that pyproject.toml allows
	$(BIN)/python tests/support/wheels.py --libraries lowest $(LOWEST)

test-spark: $(WITH_SPARK)/.ready  ## the tests that need Spark and Java, on SPARK=4.3.0 or another
	$(WITH_SPARK)/bin/python -m pytest tests/spark_local -p no:cacheprovider

soak: $(READY) $(WITH_SPARK)/.ready  ## try what can fail, in every front, for HOURS=1 or more; docs/reliability.json tells
	WITH_SPARK=$(WITH_SPARK) $(BIN)/python -m tests.support.soak $(HOURS)

mutants: $(MUTANTS)  ## change the code in small ways; count how often a test fails; MODULES= for some
	.venvs/mutants/bin/python -m tests.mutants $(MODULES)

mutants-changed: $(MUTANTS)  ## a minute of it, for the modules that differ from the recorded ones
	.venvs/mutants/bin/python -m tests.mutants --changed

lint: $(READY)  ## ruff, formatting, strict types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

golden: $(READY)  ## write golden files, the tables of README and docs/, and plugins/ anew
	UPDATE_GOLDEN=1 $(BIN)/pytest tests/singer/test_singer.py tests/house/test_docs.py \
	  tests/house/test_notebook.py tests/house/test_plugin_definition.py

conformance: openapi $(CONFORMANCE)  ## hold sandbox and tap to LlamaCloud's OpenAPI (OPENAPI=path)
	@mkdir -p output
	@.venvs/conformance/bin/python -m tests.conformance $(OPENAPI) \
	  --cases $(CASES) --replies $(REPLIES) --seed $(SEED) --figures output/conformance.json

openapi:
	@:$(if $(OPENAPI),,$(error set OPENAPI to the file of LlamaCloud's OpenAPI))

bench: $(READY)  ## measure the tap beside a plain loop, and check its bounds
	$(BIN)/python -m benchmarks.bench

bench-peers: $(READY)  ## measure the tap beside the other ways to do its job
	$(BIN)/python -m benchmarks.bench_peers

bench-spark: $(WITH_SPARK)/.ready  ## measure windows of 8 connections in Spark beside one partition
	$(WITH_SPARK)/bin/python -m benchmarks.spark_windows

chart: $(CHART)  ## draw docs/performance.svg from benchmarks/results/peers.json
	.venvs/chart/bin/python -m benchmarks.chart

docs: $(DOCS)  ## build the site of docs/ into output/docs, and check its links
	.venvs/docs/bin/python docs/lay_out.py .cache/docs
	NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs build
	@echo output/docs/index.html

audit: $(RELEASE)  ## ask for known holes in what the package and its extras bring
	@mkdir -p output
	$(COMPILE) --all-extras -c constraints.txt -o output/audited.txt >/dev/null
	.venvs/release/bin/pip-audit --strict --disable-pip --no-deps -r output/audited.txt $(AUDIT)

sbom: $(RELEASE)  ## list what the wheel brings, as CycloneDX, in output/sbom.cdx.json
	@mkdir -p output
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venvs/sbom
	$(BIN)/uv pip install --quiet --python .venvs/sbom/bin/python -c constraints.txt $(WHEEL)
	.venvs/release/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --validate -o output/sbom.cdx.json .venvs/sbom/bin/python

report: $(READY)  ## build the marts, and write output/report.html from them
	$(BIN)/meltano run dbt:build dbt:report

sync: key $(READY)  ## sync the real LlamaCloud into output/warehouse.duckdb; build marts and a report
	@mkdir -p output
	$(BIN)/meltano run classify-jobs-to-report

key:
	@:$(if $(LLAMA_CLOUD_API_KEY),,$(error set LLAMA_CLOUD_API_KEY to a key of your LlamaCloud project))

constraints: $(READY)  ## pin the newest and the lowest versions that pyproject.toml allows
	$(COMPILE) --upgrade --group dev --group docs --group mutants --group release --extra dlt \
	  --extra s3 --extra spark --universal -o constraints.txt
	$(COMPILE) --upgrade --resolution lowest-direct --extra dlt --extra report --extra s3 \
	  --extra sandbox --extra spark --universal -o constraints-lowest.txt

clean:  ## remove environments, caches and the demo; keep output/ and Meltano's state
	rm -rf .venv .venvs .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist output/demo output/dbt .meltano/extractors .meltano/loaders .meltano/utilities .meltano/run
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@echo "Installing the tap, Meltano and the tools that work on them into .venv ..."
	@set -e; began=$$(date +%s); \
	  test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet -c constraints.txt uv; }; \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e . --group dev; \
	  echo "  $$(($$(date +%s) - began)) s"
	@touch $@

$(DOCS): pyproject.toml constraints.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venvs/docs
	$(BIN)/uv pip install --quiet --python .venvs/docs/bin/python -c constraints.txt --group docs
	@touch $@

$(MUTANTS): pyproject.toml constraints.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venvs/mutants
	$(BIN)/uv pip install --quiet --python .venvs/mutants/bin/python -c constraints.txt -e . --group dev --group mutants
	@touch $@

$(RELEASE): pyproject.toml constraints.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venvs/release
	$(BIN)/uv pip install --quiet --python .venvs/release/bin/python -c constraints.txt --group release
	@touch $@

$(CONFORMANCE): pyproject.toml constraints.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venvs/conformance
	$(BIN)/uv pip install --quiet --python .venvs/conformance/bin/python -c constraints.txt \
	  -e '.[sandbox]' schemathesis==$(SCHEMATHESIS)
	@touch $@

$(WITH_SPARK)/.ready: pyproject.toml constraints.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(WITH_SPARK)
	grep -v '^pyspark==' constraints.txt >$(WITH_SPARK)/constraints.txt
	$(BIN)/uv pip install --quiet --python $(WITH_SPARK)/bin/python -c $(WITH_SPARK)/constraints.txt \
	  -e ".[sandbox,spark]" pyspark==$(SPARK) pytest
	@touch $@

$(CHART): | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venvs/chart
	$(BIN)/uv pip install --quiet --python .venvs/chart/bin/python matplotlib==$(MATPLOTLIB)
	@touch $@
