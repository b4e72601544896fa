# Needs only make and Python 3.11 or newer; everything else goes into .venv.
#
#   make demo      install, then play two nights on a real small model (its home: .strop-demo)
#   make test      install, then run the tests
#   make check     install, then format, lint, types, import rules, documented commands
#   make install   set up .venv alone: nothing to do while pyproject.toml and constraints.txt stay as they are
#   make bench     list the benchmarks
#   make clean     remove .venv, build outputs, caches and the demo's home
#
# Variables: PYTHON=python3.12 chooses the interpreter · ARGS='-k ledger' goes to pytest or to `strop demo` ·
# DEMO_HOME=FOLDER is another home for the demo · TORCH_INDEX_URL=URL is one more package index, for another build of
# torch (the README says which, and when).

.POSIX:

PYTHON ?= python3
TORCH_INDEX_URL ?=
VENV = .venv
DEMO_HOME =
ARGS =

BIN = $(VENV)/bin
STAMP = $(VENV)/installed
PACKAGE = build/check

.PHONY: help install demo test check bench clean

help:
	@sed -n 's/^#  *\(make .*\)/\1/p' Makefile

install: $(STAMP)

# The stamp is written last: an interrupted install is taken up again by the next make.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Strop needs Python 3.11 or newer: make PYTHON=python3.12 install")'
	@rm -f $(STAMP)
	@echo "Installing Strop into $(VENV): about 1.6 GB, a minute or more."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt pip setuptools
	index="$(TORCH_INDEX_URL)"; $(BIN)/python -m pip install $${index:+--extra-index-url "$$index"} \
		--no-build-isolation -c constraints.txt -e '.[all]' --group dev
	@touch $(STAMP)
	@echo "Installed. The command is $(BIN)/strop; next: make demo"

demo: $(STAMP)
	@home="$(DEMO_HOME)"; STROP_HOME="$${home:-$$(pwd)/.strop-demo}"; export STROP_HOME; \
	echo "The demo's home is $$STROP_HOME. To use it afterwards: export STROP_HOME=\"$$STROP_HOME\"" >&2; \
	$(BIN)/strop demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

# Type checker and import linter read the built package: they cannot follow the editable install's folder mapping.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/build_wheel.py $(PACKAGE)
	MYPYPATH=$(PACKAGE) $(BIN)/mypy --strict -p strop
	PYTHONPATH=$(PACKAGE) $(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/test_readme.py tests/test_skill_md.py

bench: $(STAMP)
	@sed -n 's/^| `\(.venv[^`]*\)` | \(.*\) |$$/\1   \2/p' benchmarks/README.md

clean:
	rm -rf .venv .strop-demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
