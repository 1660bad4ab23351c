# Start with `make demo` and `make test`. They need Python 3.11+ and make.

VENV ?= .venv
PORT ?= 8000
SANDBOX_PORT ?= 8801
WORKERS ?= 3
PAIRS ?=
DEPTH ?= full
PYTEST_ARGS ?=
BENCH_ARGS ?=
SOAK ?= 480

bin := $(VENV)/bin

# The first Python on the path that is new enough.
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

# Variables that configure a site, Django or pytest are removed for the tests. Their processes may write bytecode.
foreign := GOVPAY_[A-Z0-9_]*|DJANGO_[A-Z0-9_]*|CELERY_[A-Z0-9_]*|DATABASE_URL|CACHE_URL|SECRET_KEY|DEBUG|ALLOWED_HOSTS|VAR_DIR|PYTEST_ADDOPTS|PYTHONDONTWRITEBYTECODE
clean_env := env $(foreach name,$(shell env | grep -oE '^($(foreign))=' | tr -d '=' | grep -v '^GOVPAY_REQUIRE$$'),-u $(name))

.DEFAULT_GOAL := help
.PHONY: help demo test test-full test-browser test-themes test-all soak lint format requirements messages schema bench clean distclean
.DELETE_ON_ERROR:

help:
	@echo 'make demo          run the sandbox, a worker and the web site on this machine (PORT, SANDBOX_PORT)'
	@echo 'make test          run the tests in about two minutes, without servers or network'
	@echo 'make test-full     the same with all slow tests, as .ci/run does it'
	@echo 'make test-browser  test the pages in a real browser; needs Chromium, no network'
	@echo 'make test-themes   test the admin under the themes unfold, jazzmin and grappelli; needs Chromium, no network'
	@echo 'make test-all      run the tests on every supported pair of Python and Django found here (PAIRS=3.13-6.1 for one)'
	@echo 'make soak          randomized tests, a thousand repetitions of each, for ten minutes at most (SOAK=seconds)'
	@echo 'make lint          run ruff, mypy, bandit, advisories, the import contract, missing migrations'
	@echo 'make bench         measure times and memory, in relation to a reference (BENCH_ARGS)'
	@echo 'make schema        generate the OpenAPI document of the REST interface'
	@echo 'make requirements  compile requirements/ from pyproject.toml'
	@echo 'make messages      collect the texts to translate, and compile the catalogues (needs gettext)'
	@echo 'make clean         delete the demo with its data, and all build output'
	@echo 'make distclean     the same, and the virtual environments'

# --- The virtual environment ------------------------------------------------------------------

# Only one process creates the environment, also when a demo and a test run start together.
$(VENV)/.%.stamp: requirements/%.txt
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or later is needed and was not found on PATH.' >&2; exit 1; }
	@$(PYTHON) requirements/install.py $(VENV) $<
	@touch $@

demo: $(VENV)/.demo.stamp
	@exec $(bin)/python manage.py demo --port '$(PORT)' --sandbox-port '$(SANDBOX_PORT)'

test: $(VENV)/.test.stamp
	@$(clean_env) $(bin)/python -m pytest --ds=tests.settings -n $(WORKERS) --dist=worksteal -m "not ci" $(PYTEST_ARGS)

test-full: $(VENV)/.test.stamp
	@$(clean_env) GOVPAY_TEST_DEPTH=full $(bin)/python -m pytest --ds=tests.settings -n $(WORKERS) --dist=worksteal $(PYTEST_ARGS)

test-browser: $(VENV)/.browser.stamp
	@$(clean_env) $(bin)/python -m pytest --ds=tests.settings -m browser tests/browser $(PYTEST_ARGS)

# A separate environment, so that no other test can import the themes.
test-themes: .venv-themes/.themes.stamp
	@$(clean_env) .venv-themes/bin/python -m pytest --ds=tests.settings -m themes tests/themes $(PYTEST_ARGS)

.venv-themes/.themes.stamp: requirements/themes.txt
	@$(PYTHON) requirements/install.py .venv-themes $<
	@touch $@

# Each pair has its own environment. DEPTH=quick leaves out the same tests as `make test`.
test-all:
	@$(clean_env) GOVPAY_TEST_DEPTH=$(DEPTH) $(PYTHON) tests/all_versions.py $(PAIRS) -n $(WORKERS) --dist=worksteal \
		$(if $(filter quick,$(DEPTH)),-m "not ci") $(PYTEST_ARGS)

soak: $(VENV)/.test.stamp
	@$(clean_env) GOVPAY_SOAK=$(SOAK) $(bin)/python -m pytest --ds=tests.settings -n $(WORKERS) --dist=worksteal -m soak $(PYTEST_ARGS)

lint: $(VENV)/.dev.stamp
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(clean_env) $(bin)/mypy
	$(bin)/bandit --quiet --configfile pyproject.toml --recursive govpay project
	$(bin)/python requirements/audit.py requirements/dev.txt
	$(clean_env) $(bin)/lint-imports
	$(clean_env) DJANGO_SETTINGS_MODULE=tests.settings $(bin)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.dev.stamp
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

bench: $(VENV)/.test.stamp
	@$(clean_env) $(bin)/python -m benchmarks $(BENCH_ARGS)

# --- Pinned requirements ----------------------------------------------------------------------

# The newest version of each package that a Python allows: Django 5.2 on Python 3.11, the newest one from 3.12 on.
compile := $(bin)/uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy requires-python \
	--custom-compile-command 'make requirements' --annotation-style line --quiet --no-config

# --- The document of the REST interface ------------------------------------------------------------

schema: $(VENV)/.test.stamp
	@$(clean_env) $(bin)/python -m tests.rest.openapi

requirements: $(VENV)/.dev.stamp
	$(compile) $(UPGRADE) --extra demo --extra postgres --extra redis --group dev -o requirements/dev.txt
	$(compile) -c requirements/dev.txt --extra demo --extra postgres --extra redis --group test -o requirements/test.txt
	$(compile) -c requirements/dev.txt --extra demo --extra postgres --extra redis --group browser -o requirements/browser.txt
	$(compile) -c requirements/dev.txt --extra demo --extra postgres --extra redis --group themes -o requirements/themes.txt
	$(compile) -c requirements/dev.txt --extra demo -o requirements/demo.txt
	$(compile) -c requirements/dev.txt -o requirements/base.txt

# --- Translations -----------------------------------------------------------------------------

# The texts in the code are English and need no catalogue. New texts are empty in the Spanish catalogue: translate them,
# then run this again.
catalogue := govpay/locale/es/LC_MESSAGES/django
messages: $(VENV)/.test.stamp
	cd govpay && $(clean_env) $(abspath $(bin))/python -m django makemessages -v0 -l es --add-location=file \
		--no-obsolete --ignore='sandbox/*' --ignore='testing/*'
	msgattrib --clear-fuzzy --clear-previous --empty -o $(catalogue).po $(catalogue).po
	sed -i.old -E '/^"(Report-Msgid-Bugs-To|POT-Creation-Date):/d' $(catalogue).po
	rm $(catalogue).po.old
	msgfmt --check-format --statistics -o $(catalogue).mo $(catalogue).po

clean:
	@test -z "$(PYTHON)" || $(PYTHON) project/demo/idle.py var
	rm -rf var build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis htmlcov .coverage *.egg-info
	find . -name .venv\* -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .venv-*
