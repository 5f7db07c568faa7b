# What people do with this repository. `make demo` and `make test` need nothing before them.
PYTHON ?= python3
PORT ?= 9092
SEED ?= 0
BIN := .venv/bin
INSTALLED := .venv/installed
FUZZ_INSTALLED := .venv/installed-fuzz
MUTANTS_INSTALLED := .venv/installed-mutants
# With the environment first on the PATH, so that what starts `relay` starts this one.
RUN := env PATH="$(CURDIR)/$(BIN):$$PATH"

LOCK := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

.PHONY: help demo test hostile fuzz mutants faults kafka bench lock clean

help:
	@echo 'make demo     the relay with an embedded Kafka and signed sample deliveries, until Ctrl-C'
	@echo 'make test     lint, types, and every test (those on real Kafka need Java 17 and Maven)'
	@echo 'make hostile  what forgers and broken clients send, with a million mutations of signed requests'
	@echo 'make fuzz     any bytes at all into the pure core, for SECONDS=60 in total (Python 3.11 to 3.13)'
	@echo 'make mutants  small changes to signature, routing, lanes and spool that fast tests must notice; SEED=0'
	@echo 'make faults   a relay on three real brokers, under every fault, for SECONDS=3600; SEED=0; TABLE= keeps its table'
	@echo 'make kafka    a real Kafka broker on localhost:9092 (PORT=...), until Ctrl-C, with which its data end (Java 17 and Maven)'
	@echo 'make bench    what the relay takes and costs, beside a plain service (Go and wrk too)'
	@echo 'make lock     write requirements/ anew from pyproject.toml, keeping versions that still fit'
	@echo 'make clean    remove what the other targets made, but not data/'

demo: $(INSTALLED)
	$(BIN)/relay demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(RUN) $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

hostile: $(INSTALLED)
	$(RUN) MUTATIONS=1000000 $(BIN)/pytest tests/hostile

fuzz: SECONDS ?= 60
fuzz: $(FUZZ_INSTALLED)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

mutants: $(MUTANTS_INSTALLED)
	@$(BIN)/python -m tests.mutants --seed $(SEED)

faults: SECONDS ?= 3600
faults: $(INSTALLED)
	$(RUN) $(BIN)/python -m tests.faults --seconds $(SECONDS) --seed $(SEED) $(if $(TABLE),--table $(TABLE)) \
		$(if $(EVIDENCE),--evidence $(EVIDENCE))

kafka: $(INSTALLED)
	@$(BIN)/python -m tests.kafka $(PORT)

bench: $(INSTALLED)
	$(RUN) $(BIN)/python -m bench

lock: $(INSTALLED)
	$(BIN)/pip install --quiet pip-tools==7.6.2
	$(LOCK) --output-file requirements/runtime.txt pyproject.toml
	$(LOCK) --output-file requirements/build.txt --only-build-deps --build-deps-for wheel pyproject.toml
	$(LOCK) --output-file requirements/test.txt --constraint requirements/runtime.txt \
		--extra demo --extra test --build-deps-for editable pyproject.toml
	$(LOCK) --output-file requirements/fuzz.txt --constraint requirements/test.txt --extra fuzz pyproject.toml
	$(LOCK) --output-file requirements/mutants.txt --constraint requirements/test.txt \
		--extra mutants pyproject.toml

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find relay tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# Without build isolation, since what builds the package is among the requirements, pinned and hashed.
$(INSTALLED): pyproject.toml requirements/test.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The fuzzer is no part of what `make test` installs: it has wheels for few Pythons.
$(FUZZ_INSTALLED): $(INSTALLED) requirements/fuzz.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@touch $@

# Nor is what changes the program: nobody needs it to run the tests.
$(MUTANTS_INSTALLED): $(INSTALLED) requirements/mutants.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutants.txt
	@touch $@
