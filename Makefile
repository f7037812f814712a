# make demo      set up, then mine hard negatives from a small data set that needs no download
# make test      set up, then run the tests but the slow ones: about eight minutes on two cores
# make test-all  set up, then run all tests but the long ones, as .ci/run does
# make test-long set up, then run what takes ten minutes and more: kills at 25 moments, snapshots on an S3 server
# make test-airflow  set up Airflow in an environment of its own, then run the DAGs of deploy/airflow in it
# make test-dataflow  set up Beam's libraries of Google Cloud in an environment beside, then make the job and look at it
# make test-engines  set up, then run hardneg behind job servers, with workers on two hosts (docs/engines.md)
# make prism     build Beam's Prism with Go, for test-engines: five minutes of a core
# make test-flink    set up, then try a Flink cluster, and run hardneg on it where Maven gives Beam's job server
# make flink-up, make flink-down  a Flink cluster of one JobManager and two TaskManagers
# make bench DATA=FOLDER WORK=FOLDER [QUICK=--quick]  set up, then measure the claims of speed beside the peers
# make lint      set up, then check style, types and which room imports from which
# make venv      only set up: a virtual environment in .venv
# make clean     remove builds, caches and the demo; the virtual environment stays

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
AIRFLOW := .venv-airflow
AIRFLOW_STAMP := $(AIRFLOW)/.installed
DATAFLOW := .venv-dataflow
DATAFLOW_STAMP := $(DATAFLOW)/.installed
ENGINES := .venv-engines

.DEFAULT_GOAL := help
.PHONY: help venv demo bench test test-all test-long test-airflow test-dataflow test-engines prism test-flink flink-up flink-down lint clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP)

# One call of pip, so that all requirements are resolved together. Newer than what it depends on: nothing to do.
$(STAMP): requirements.txt requirements-dev.txt setup.py models/pyproject.toml models/hardneg_models/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "hardneg needs Python 3.11 or newer, and '$(PYTHON)' is not one. Name one, as in make PYTHON=python3.11 $(or $(MAKECMDGOALS),venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' can't make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt ./models --editable .
	@touch $@

demo: $(STAMP)
	$(BIN)/python examples/demo.py

# As many processes as cores, of one thread each; a file's tests stay together, and share what they make.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

test: $(STAMP)
	HYPOTHESIS_PROFILE=fast $(TESTS) -m "not slow and not long"

test-all: $(STAMP)
	HYPOTHESIS_PROFILE=ci $(TESTS) -m "not long" --durations=30

test-long: $(STAMP)
	HYPOTHESIS_PROFILE=ci $(TESTS) -m long

# Airflow's libraries and ours do not go together; its tests start hardneg from our environment. All pins are in the
# file, so that nothing is to be resolved.
$(AIRFLOW_STAMP): requirements-airflow.txt
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps -r requirements-airflow.txt
	@touch $@

test-airflow: $(STAMP) $(AIRFLOW_STAMP)
	$(AIRFLOW)/bin/python -m pytest deploy/airflow/tests --durations=5

# Workers' environment, Prism and Flink are kept in .venv-engines. What a machine lacks is skipped, with a line that says so.
# What Beam needs for Google Cloud beside our own environment, which it stands upon: PyTorch is not installed twice.
$(DATAFLOW_STAMP): requirements-dataflow.txt $(STAMP)
	$(PYTHON) -m venv $(DATAFLOW)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
		> "$$($(DATAFLOW)/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/hardneg.pth"
	$(DATAFLOW)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps -r requirements-dataflow.txt
	@touch $@

test-dataflow: $(DATAFLOW_STAMP)
	$(DATAFLOW)/bin/python -m pytest deploy/dataflow/tests --durations=5

test-engines: $(STAMP)
	$(BIN)/python -m pytest deploy/engines/tests -m "not long" -k "not flink" --durations=5

test-flink: $(STAMP)
	$(BIN)/python -m pytest deploy/flink/tests --durations=5
	$(BIN)/python -m pytest deploy/engines/tests -m "not long" -k flink --durations=5

prism: $(STAMP)
	GOBIN=$(CURDIR)/$(ENGINES) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$$($(BIN)/python -c 'from importlib.metadata import version; print(version("apache-beam"))')

flink-up: $(STAMP)
	$(BIN)/python deploy/flink/flink_cluster.py up $(ENGINES)

flink-down:
	$(BIN)/python deploy/flink/flink_cluster.py down $(ENGINES)

bench: $(STAMP)
	$(BIN)/python -m benchmarks --data $(DATA) --work $(WORK) $(QUICK)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p hardneg -p benchmarks
	$(BIN)/lint-imports

clean:
	rm -rf demo build dist models/build *.egg-info models/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name '$(VENV)*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
