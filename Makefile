# Everything that one does with this project. `make` alone lists it.
# In a fresh clone any target sets up first: a virtual environment in .venv, nothing outside of the project.

SHELL := /bin/bash
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
PYTHON_ESL := $(VENV)/python-esl
# More of the same command, for example: make test ARGS="-k calendar"
ARGS ?=
JOBS ?= 2

SCENARIO ?= dialer/simulator/scenarios/steady.toml
SEED ?= 1
SPEED ?= 10

.DEFAULT_GOAL := help
.PHONY: help setup python-esl run test test-switch lint format rehearse bench bench-uploads bench-rest bench-statistics bench-live faults fuzz browser messages clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

setup: $(READY) ## Make the virtual environment (PYTHON=python3.12 chooses the Python)

$(READY): requirements.txt requirements-dev.txt
	@fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'; \
	chosen=; \
	for python in $(if $(PYTHON),$(PYTHON),python3 python3.12 python3.11); do \
		if $$python -c "$$fits" 2>/dev/null; then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
		echo 'This needs Python 3.11 or 3.12; found $(if $(PYTHON),$(PYTHON),python3): '"$$($(if $(PYTHON),$(PYTHON),python3) -V 2>&1)."; \
		echo 'Install one of them and name it: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.12'; \
		exit 1; \
	fi; \
	if ! $$chosen -c 'import venv, ensurepip' 2>/dev/null; then \
		echo "$$chosen has no venv. On Debian: apt install python3-venv"; \
		exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$chosen -V) …"; \
	$$chosen -m venv $(VENV) && \
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt && \
	touch $@

python-esl: $(PYTHON_ESL) ## Add the C library that ESL_BACKEND=python-esl uses (needs g++ and python3-dev)

$(PYTHON_ESL): requirements-esl.txt requirements-esl-build.txt | $(READY)
	@headers=$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	if ! command -v g++ >/dev/null || [ ! -e "$$headers/Python.h" ]; then \
		echo "This needs g++ and the headers of Python ($$headers/Python.h). On Debian: apt install g++ python3-dev"; \
		exit 1; \
	fi
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-esl-build.txt
	@# Its build runs the first swig on the path; that of a system is too new.
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(RUN) -m pip install --quiet --disable-pip-version-check \
		--no-build-isolation -r requirements-esl.txt
	@touch $@

run: $(READY) ## Run the dialer on this machine, with a demo on the first run
	@$(RUN) manage.py run $(ARGS)

test: $(READY) ## Run the tests
	$(RUN) -m pytest -n $(JOBS) $(ARGS)

test-switch: $(READY) ## Hold a real FreeSWITCH to the contract tests (FREESWITCH_URL=esl://:password@host:8021)
	$(RUN) -m pytest -m switch $(ARGS)

lint: $(READY) ## Check style, types, imports between packages, migrations
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(RUN) manage.py makemigrations --check --dry-run

format: $(READY) ## Format the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

rehearse: $(READY) ## Play a scenario through the whole stack (SCENARIO=FILE SEED=7 SPEED=10)
	@$(RUN) manage.py rehearse --scenario $(SCENARIO) --seed $(SEED) --speed $(SPEED) --json $(ARGS)

bench: $(READY) ## Measure the dial loop at ten thousand and a million subscribers
	@$(RUN) manage.py bench $(ARGS)

bench-uploads: $(READY) ## Check and load a million subscribers, beside raw COPY of the same rows
	@$(RUN) manage.py bench_uploads $(ARGS)

bench-statistics: $(READY) ## Ask for the statistics of a while in ledgers of a hundred thousand and a million attempts
	@$(RUN) manage.py bench_statistics $(ARGS)

bench-rest: $(READY) ## Add subscribers over REST beside raw COPY, and ask for pages of a long list
	@$(RUN) manage.py bench_rest $(ARGS)

bench-live: $(READY) ## Look at the overview of a thousand operators, and measure server and browser (needs a Chromium)
	@$(RUN) manage.py bench_live $(ARGS)

faults: $(READY) ## Run the long tests that kill processes in the middle
	$(RUN) -m pytest -m faults -n $(JOBS) $(ARGS)

fuzz: $(READY) ## Drive the REST interface by its description, with all that it allows and forbids
	$(RUN) -m pytest -m fuzz -n $(JOBS) $(ARGS)

browser: $(READY) ## Drive the pages in a Chromium (Debian: apt install chromium)
	$(RUN) -m pytest -m browser -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

messages: $(READY) ## Gather the texts to translate and compile what is translated (Debian: apt install gettext)
	@command -v xgettext >/dev/null || { echo 'This needs GNU gettext. On Debian: apt install gettext'; exit 1; }
	$(RUN) manage.py makemessages --all --no-wrap --no-obsolete --add-location=file --ignore=.venv --ignore=var --ignore=tests
	$(RUN) manage.py compilemessages --ignore=.venv

clean: ## Remove what can be made again; data (var/) stays
	rm -rf $(VENV) staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
