# Every target sets up what it needs in a virtual environment of its own; nothing else has to run, and nobody to be root.
#
#   make test PYTHON=python3.13 DJANGO='django~=6.1.0' VENV=.venv-6.1

# The environment is made anew for another Python, and brought up to date for another Django.
PYTHON ?= python3
DJANGO ?= django
VENV ?= .venv
# Processes that tests run in, and what pytest is to be told besides.
WORKERS ?= 2
ARGS ?=
# How long `make fuzz`, `make chaos` and `make order` take, in seconds, more or less; 60 and 120 unless set.
SECONDS ?=
# For the latter two: the seed of an earlier run; postgresql, sqlite or mariadb.
SEED ?=
ON ?= postgresql
# Set it and a server that is missing fails the store tests instead of being left out.
REQUIRE_ALL_SERVERS ?=

run := $(VENV)/bin/python
pytest := $(run) -m pytest -n $(WORKERS)
on_postgresql := DIFFS_TEST_DATABASE=postgresql
on_other_servers := DIFFS_TEST_SERVERS=redis62,redis $(if $(REQUIRE_ALL_SERVERS),DIFFS_REQUIRE_ALL=1)

.DEFAULT_GOAL := help
.PHONY: help demo test soak fuzz order chaos store-tests django-tests coverage lint bench bench-full clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.ready-demo ## run the example site with live data, until Ctrl-C
	$(run) example/manage.py demo

test: $(VENV)/.ready-dev ## run all tests on SQLite, then those about the database on PostgreSQL
	$(pytest) $(ARGS)
	$(on_postgresql) $(pytest) -m database $(ARGS)

store-tests: $(VENV)/.ready-dev ## run the tests of the store on Redis 6.2 and on the system's Redis, also in clusters
	$(on_other_servers) $(pytest) -m store $(ARGS)

soak: $(VENV)/.ready-dev ## try many thousands of histories of readers, writers, clocks and lost data
	DIFFS_TEST_HISTORIES=20000 $(run) -m pytest tests/store/test_histories.py $(ARGS)

fuzz: $(VENV)/.ready-dev ## ask the endpoint and its parsers what nobody would, for SECONDS=60
	DIFFS_FUZZ_SECONDS=$(or $(SECONDS),60) $(run) -m pytest -s tests/fuzz $(ARGS)

order: $(VENV)/.ready-dev ## have many write the same rows for SECONDS in each mode, and compare what clients make of it
	$(run) -m tests.chaos --set order --seconds $(or $(SECONDS),120) --database $(ON) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos: $(VENV)/.ready-dev ## kill writers, stop, flush and replace servers for SECONDS, and say what was lost
	$(run) -m tests.chaos --seconds $(or $(SECONDS),120) --database $(ON) $(if $(SEED),--seed $(SEED)) $(ARGS)

django-tests: $(VENV)/.ready-dev ## run Django's own tests with every model registered
	$(run) tests/django_suite/run.py $(ARGS)
	$(run) tests/django_suite/run.py --database postgresql $(ARGS)

coverage: $(VENV)/.ready-dev ## run all of the project's tests and measure package and tests
	$(run) -m coverage erase
	$(pytest) --cov --cov-report= $(ARGS)
	$(on_postgresql) $(pytest) --cov --cov-append --cov-report= -m database $(ARGS)
	$(on_other_servers) $(pytest) --cov --cov-append --cov-report= -m store $(ARGS)
	$(run) -m coverage report --fail-under=95

lint: $(VENV)/.ready-dev ## check style, types and the documents' markup
	$(run) -m ruff check
	$(run) -m mypy
	@for page in *.rst docs/*.rst; do \
		[ ! -e "$$page" ] || $(run) -m docutils --strict "$$page" > /dev/null || { echo "Mend $$page."; exit 1; }; \
	done

bench: $(VENV)/.ready-bench ## measure, in less than three minutes
	$(run) benchmarks/run.py $(ARGS)

bench-full: $(VENV)/.ready-bench ## measure thoroughly; ARGS=--save renews the figures in the documents
	$(run) benchmarks/run.py --full $(ARGS)

clean: ## remove what these targets made, the environment too
	rm -rf $(VENV) .tox .cache build dist *.egg-info .coverage* htmlcov tests/artefacts
	rm -rf benchmarks/.environments .hypothesis .mypy_cache .pytest_cache .ruff_cache

# An environment with one extra of setup.py. The stamp holds the choice it was made with, and another one makes it stale.
choice := $(PYTHON) $(DJANGO)
stamps := $(VENV)/.ready-demo $(VENV)/.ready-dev $(VENV)/.ready-bench
$(shell for stamp in $(stamps); do [ "$$(cat $$stamp 2>/dev/null)" = "$(choice)" ] || echo $$stamp; done): FORCE

$(VENV)/.ready-%: setup.py
	@[ "$$($(run) -V 2>/dev/null)" = "$$($(PYTHON) -V)" ] || $(PYTHON) -m venv --clear $(VENV)
	$(run) -m pip install --quiet --disable-pip-version-check --editable '.[$*]' '$(DJANGO)'
	@echo '$(choice)' > $@
