# Every target makes .venv and installs what it needs: only Python >= 3.11 with venv and pip is asked for.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PLUGINS := $(wildcard plugins/*) llmos-testkit
PACKAGES := llmos_core $(subst -,_,$(notdir $(PLUGINS)))
GOAL := Create a Python script that prints the primes below 50 and run it

.PHONY: install run test tools check lint bench bench-guard bench-peers docs wheels clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt $(PLUGINS:=/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed.")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -U -c constraints.txt pip
	$(BIN)/python -m pip install -q -c constraints.txt --group dev
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e . $(PLUGINS:%=-e ./%) "llmos-plugin-claude[sdk]"
	touch $@

run: install  ## Learn a goal with the scripted model, then follow it for free.
	LLMOS_PROVIDER=rehearsal $(BIN)/llmos --workspace workspace run --mode learner "$(GOAL)"
	@echo
	$(BIN)/llmos --workspace workspace run "$(GOAL)"

test: install tools  ## Every test, the real CLI end to end among them.
	$(BIN)/python -m pytest

tools:  ## What the tests drive: a terminal and shells.
	@tests/tools.sh

check: install  ## What takes seconds: style and the tests that start no CLI.
	$(BIN)/ruff check -q .
	$(BIN)/python -m pytest -x -m "not cli and not slow" --hypothesis-profile=check

lint: install  ## Style, types, the rules of imports, lengths of files.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES:%=-p %)
	$(BIN)/mypy docs/examples/*.py docs/examples/hello/src/llmos_plugin_hello
	$(BIN)/lint-imports
	$(BIN)/python tests/house.py

bench: install  ## Measure, and write docs/benchmarks.md.
	$(BIN)/python -m tests.bench

bench-guard: install  ## Print how well the guard tells the calls in the directory CORPUS apart, and how fast.
	$(BIN)/python -m tests.bench.guard

bench-peers: install  ## Set listing plugins beside other plugin hosts, and write docs/benchmarks-peers.md.
	$(BIN)/python -m tests.bench.peers

docs: install  ## Write the reference from the docstrings, and build the site into site/.
	$(BIN)/python -m tests.docs.reference
	$(BIN)/python -m zensical build --strict --clean

wheels: install  ## Build every distribution into dist/.
	for d in . $(PLUGINS); do $(BIN)/python -m build -q --no-isolation --wheel --outdir dist $$d || exit 1; done

clean:
	rm -rf .venv dist site .cache .bench
