# The two commands of the README are `make quickstart` and `make test`.
PYTHON ?= python3
CORES ?= all
# PyTorch from another wheel index, for example its public CPU builds:
#   make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

BIN := .venv/bin
ENV_READY := .venv/.complete
LOCK := envs/requirements.lock

.PHONY: env quickstart test test-slow chaos lint format types benchmark docs schema report claims crate reports lock clean-state clean help

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

env: $(ENV_READY) ## Build .venv from the lock

$(ENV_READY): $(LOCK) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "there is no program '$(PYTHON)'. Name a Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "worldmodels needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

quickstart: env ## Train an agent inside its own dream of Doom, and score it in the real game
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) quickstart

test: env ## Everything that CI checks, except the slow cases
	PATH="$(CURDIR)/$(BIN):$$PATH" $(MAKE) --no-print-directory lint types
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -m "not slow" --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 20 $(PYTEST)

test-slow: env ## Kills at random moments and other long cases
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -m slow $(PYTEST)

chaos: env ## Kill processes of doom-smoke at random moments, and write the counts into the docs
	PATH="$(CURDIR)/$(BIN):$$PATH" WORLDMODELS_CHAOS_PAGE=$(CURDIR)/docs/architecture.md \
		python -m pytest -m slow tests/workflow/test_chaos.py

lint: env ## Lint and format checks, of Python and of the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" snakefmt --check Snakefile workflow/rules
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

types: env ## Static types
	$(BIN)/mypy

format: env ## Format everything
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	PATH="$(CURDIR)/$(BIN):$$PATH" snakefmt Snakefile workflow/rules

benchmark: env ## Measure how fast everything is on this machine (docs/performance.md)
	$(BIN)/python -m worldmodels benchmark

schema: env ## Write the JSON schema and the table of options from the typed configuration
	$(BIN)/python -m worldmodels describe_config

docs: schema ## Write the generated pages and build the site in site/
	$(BIN)/mkdocs build --quiet --strict

REPORTED ?= $(filter-out %-smoke %-smoke-selection,$(patsubst results/%/table.csv,%,$(wildcard results/*/table.csv)))

reports: ## Copy tables, figures, films and raw scores of finished experiments to reports/, with their provenance
	@test -n "$(strip $(REPORTED))" || { echo "no experiment but smoke tests is built: snakemake one first"; exit 1; }
	@for name in $(REPORTED); do \
		test -f results/$$name/table.csv || { echo "results/$$name/table.csv is not built: snakemake it first"; exit 1; }; \
		mkdir -p reports/$$name; \
		cp results/$$name/table.* reports/$$name/ || exit 1; \
		for folder in figures videos; do \
			test ! -d results/$$name/$$folder || find results/$$name/$$folder \( -name '*.svg*' -o -name '*.mp4*' \) \
				-exec cp {} reports/$$name/ \; || exit 1; \
		done; \
		for table in speed.csv agents.csv agents.md; do \
			test ! -f results/$$name/$$table || cp results/$$name/$$table* reports/$$name/ || exit 1; \
		done; \
		(cd results && find $$name -path '*/seed-*' -not -path '*/.state/*' \( -name 'episodes.csv' -o -name 'history.csv' \
			-o -name 'deaths.json' -o -name 'metrics.csv' -o -name 'horizon.h5' \
			-o -path '*/agent/*.csv' -o -path '*/agent/*.h5' -o -path '*/agent/*.mp4' -o -name '*.provenance.json' \) \
			-exec cp --parents {} ../reports/ \;); \
	done
	@$(BIN)/python -m worldmodels claims

TARGET ?= quickstart
report: env ## One HTML file with every table, figure and film of the finished TARGET
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake $(TARGET) --report report.html

claims: env ## Write reports/claims.md and reports/numbers.tex from the committed tables
	$(BIN)/python -m worldmodels claims

EXPERIMENT ?= doom-laptop
crate: env ## Pack the finished EXPERIMENT as an RO-Crate
	$(BIN)/python -m worldmodels crate $(EXPERIMENT) --output $(EXPERIMENT).zip

lock: ## Resolve pyproject.toml again and write the lock
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip
	.venv-lock/bin/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable . --group dev
	.venv-lock/bin/python envs/lock.py
	rm -rf .venv-lock

clean-state: ## Forget unfinished work (checkpoints); finished results stay
	rm -rf results/*/.state results/data/*/.state results/.lock

clean: clean-state ## Also remove computed results and the environment
	rm -rf results/data results/*/ .snakemake .venv site
