# Two commands are all there is to know: `make dev` runs Postlude, `make test` tests it.
VENV := .venv
BIN := $(VENV)/bin

.PHONY: dev test faults arq-suite check bench lock clean help

help:
	@echo "make dev       run the API, a worker, Redis, SQLite and a mail inbox (data in ./var)"
	@echo "make test      run all tests, with real Redis, Postgres and SMTP"
	@echo "make faults    run the whole fault suite (35 minutes); ARGS=\"-k redis\" for a part, FAULTS_SEED=n to repeat"
	@echo "make arq-suite run arq's own tests with Postlude's worker in the place of arq's"
	@echo "make check     lint, types and layers"
	@echo "make bench     measure Postlude beside other job libraries (ARGS=--quick: three minutes)"
	@echo "make lock      refresh requirements/*.lock (needs uv)"

# Running Postlude needs less than testing it does.
RUN := $(BIN)/.installed-embedded
TEST := $(BIN)/.installed-dev

$(BIN)/.installed-%: requirements/%.lock pyproject.toml scripts/setup
	@scripts/setup $(VENV) $*

dev: $(RUN)
	@$(BIN)/postlude dev

test: $(TEST)
	@$(BIN)/pytest --numprocesses 3 --dist worksteal --cov --cov-report=term $(ARGS)

faults: $(TEST)
	@FAULTS_WHOLE=1 $(BIN)/pytest tests/faults tests/service/ledger/test_state_machine.py --numprocesses 2 -v $(ARGS)

ARQ_VENV := .venv-arq-suite
$(ARQ_VENV)/.installed: requirements/arq-suite.lock tests/arq_suite/setup
	@tests/arq_suite/setup $(ARQ_VENV)

arq-suite: $(TEST) $(ARQ_VENV)/.installed
	@$(BIN)/python -m tests.arq_suite $(ARQ_VENV)

check: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

BENCH_VENV := .venv-bench
$(BENCH_VENV)/.installed: requirements/bench.lock
	@benchmarks/setup $(BENCH_VENV)

bench: $(TEST) $(BENCH_VENV)/.installed
	@$(BIN)/python -m benchmarks run $(ARGS)

lock:
	uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 pyproject.toml -o requirements/production.lock
	uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 --extra dev pyproject.toml -o requirements/dev.lock
	uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 --extra embedded --constraint requirements/dev.lock pyproject.toml -o requirements/embedded.lock
	uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 -c requirements/production.lock pyproject.toml requirements/arq-suite.in -o requirements/arq-suite.lock
	uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 --override requirements/bench.overrides requirements/bench.in -o requirements/bench.lock

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(ARQ_VENV) var .mypy_cache .ruff_cache .pytest_cache
