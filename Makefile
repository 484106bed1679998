# make up      a working backend from a fresh clone; Ctrl-C drains it and leaves nothing running
# make test    everything that is quick, in under ten minutes on two cores, without root
# The rest is for people who change Backstay: CONTRIBUTING.md.

FILE ?= examples/orders/app.cai
ARGS ?=
ONLY ?=
TORTURE_SECONDS ?= 900

# An older Python or a missing venv module is said in one sentence by the script.
ready = @scripts/environment.sh
python = .venv/bin/python
# Torture walks new ground with each commit, and the same ground when it is told to.
seed = $${BACKSTAY_SEED:-$$((0x$$(git rev-parse --short=7 HEAD 2>/dev/null || echo 7)))}
code = src tests examples scripts benchmarks

.PHONY: help up test torture conformance bench docs lint format lock clean

help:
	@echo "make up           start examples/orders (FILE=other.cai, ARGS='--data DIR')"
	@echo "make test         the quick tests"
	@echo "make torture      the long tests, TORTURE_SECONDS=900 of them"
	@echo "make conformance  the table of the five lists (ONLY=Q for one)"
	@echo "make bench        every figure of the README"
	@echo "make docs         the documentation, into site/"
	@echo "make lint         format, lint, types, import contract (make format mends the first)"
	@echo "make lock         requirements/*.txt again from pyproject.toml (needs uv)"
	@echo "make clean        removes what was made; data folders stay"

up:
	$(ready) runtime
	@exec .venv/bin/backstay up $(FILE) $(ARGS)

test:
	$(ready) test
	$(python) -m pytest -n 2 -m "not slow" $(ARGS)

torture:
	$(ready) test
	TORTURE_SECONDS=$(TORTURE_SECONDS) BACKSTAY_SEED=$(seed) $(python) -m pytest -n 2 -m slow $(ARGS)

conformance:
	$(ready) test
	@$(python) -m tests.conformance.table $(if $(ONLY),ONLY=$(ONLY))

bench:
	$(ready) runtime
	@for script in benchmarks/*.py; do $(python) $$script || exit 1; done

docs:
	$(ready) docs
	$(python) scripts/reference.py docs/reference
	$(python) -m properdocs build --strict --quiet

lint:
	$(ready) test
	.venv/bin/ruff format --check $(code)
	.venv/bin/ruff check $(code)
	$(python) -m mypy
	.venv/bin/lint-imports

format:
	$(ready) test
	.venv/bin/ruff check --fix $(code)
	.venv/bin/ruff format $(code)

lock:
	@scripts/lock.sh

clean:
	rm -rf .venv site build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf tests/.results docs/reference/errors.md docs/reference/settings.md docs/reference/commands.md
	rm -f docs/reference/troubleshooting.md docs/reference/language-limits.md
	find src tests examples scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
