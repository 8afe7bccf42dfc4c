# Two commands are enough: `make dev` runs Postlude, `make test` tests it.
VENV := .venv
BIN := $(VENV)/bin

# Hundreds of processes import the product: they share its compiled code, even where Python is told to keep none.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: dev test coverage faults arq-suite fastapi-versions check vulnerabilities bench lock clean help
.PHONY: lint types types-of-client layers insecure-code

help:
	@echo "make dev       run the API, a worker, Redis, SQLite and a mail inbox (data in ./var)"
	@echo "make test      run all tests, with real Redis, Postgres and SMTP"
	@echo "make coverage  the same, and which lines they run (takes longer)"
	@echo "make faults    run the whole fault suite (an hour or more); ARGS=\"-k redis\" for a part, FAULTS_SEED=n to repeat"
	@echo "make arq-suite run arq's own tests on Postlude's worker"
	@echo "make fastapi-versions  test BackgroundTasks with old and new versions of FastAPI"
	@echo "make check     lint, types, layers, and a look for insecure code"
	@echo "make vulnerabilities  look the locked packages up (needs uv and the internet)"
	@echo "make bench     measure Postlude beside other job libraries (ARGS=--quick: about six minutes)"
	@echo "make lock      refresh requirements/*.lock (needs uv)"

# Phony: whether the environment fits its lock is checked on each run, in a tenth of a second.
.PHONY: $(VENV) $(VENV)-for-dev
$(VENV):
	@scripts/setup $@ dev

# Running Postlude needs fewer packages than testing it.
$(VENV)-for-dev:
	@scripts/setup $(VENV) embedded

dev: $(VENV)-for-dev
	@$(BIN)/postlude dev

test: $(VENV)
	@$(BIN)/pytest --numprocesses 5 --dist worksteal $(ARGS)

coverage: $(VENV)
	@$(BIN)/pytest --numprocesses 5 --dist worksteal --cov --cov-report=term $(ARGS)

faults: $(VENV)
	@FAULTS_WHOLE=1 $(BIN)/pytest --numprocesses 2 -v $(ARGS)

ARQ_VENV := .venv-arq-suite
arq-suite: $(VENV)
	@tests/arq_suite/setup $(ARQ_VENV)
	@$(BIN)/python -m tests.arq_suite $(ARQ_VENV)

check: lint types types-of-client layers insecure-code

lint: $(VENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)
	$(BIN)/mypy

# The client supports older Pythons than the service.
types-of-client: $(VENV)
	$(BIN)/mypy --python-version 3.10 client/src

layers: $(VENV)
	$(BIN)/lint-imports

insecure-code: $(VENV)
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive service jobs client/src scripts postlude_command.py worker_settings.py

# Asks PyPI for known vulnerabilities, so it needs the internet. What cannot be audited is an error, too.
vulnerabilities:
	uv tool run pip-audit --strict --disable-pip --require-hashes -r requirements/production.lock -r requirements/embedded.lock

fastapi-versions: $(VENV)
	@PYTHON=$(BIN)/python ARGS="$(ARGS)" scripts/fastapi-versions

BENCH_VENV := .venv-bench
bench: $(VENV)
	@benchmarks/setup $(BENCH_VENV)
	@$(BIN)/python -m benchmarks run $(ARGS)

COMPILE := uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11
lock:
	$(COMPILE) --extra s3 pyproject.toml -o requirements/production.lock
	$(COMPILE) --extra dev pyproject.toml requirements/build.in -o requirements/dev.lock
	$(COMPILE) --extra embedded -c requirements/dev.lock pyproject.toml requirements/build.in -o requirements/embedded.lock
	$(COMPILE) -c requirements/dev.lock requirements/build.in -o requirements/build.lock
	$(COMPILE) -c requirements/production.lock pyproject.toml requirements/arq-suite.in -o requirements/arq-suite.lock
	$(COMPILE) --override requirements/bench.overrides requirements/bench.in -o requirements/bench.lock
	$(COMPILE:3.11=3.12) requirements/bench-ardiq.in -o requirements/bench-ardiq.lock

clean:
	rm -rf $(VENV) .venv-fastapi $(BENCH_VENV) $(BENCH_VENV)-ardiq .bench-base $(ARQ_VENV) var .mypy_cache .ruff_cache .pytest_cache
