# make demo | test | test-slurm | check | chaos | install | clean
# Everything lives in .venv; PYTHON chooses the interpreter it is made with (>= 3.11).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

# test-slurm alone installs system packages (slurm-wlm, munge; it needs root).

.PHONY: install test test-slurm check demo chaos clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.developed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@# The reference for P(k); needs a C compiler. Its test is skipped, with the reason, where it can't be built.
	-timeout 300 $(BIN)/python -m pip install --quiet --disable-pip-version-check Pylians || true
	touch $@ $(VENV)/.installed

test: check
	$(BIN)/python -m pytest -q -n $(JOBS)

test-slurm: $(VENV)/.developed
	scripts/slurm_cluster.sh install
	FOCUS_TEST_SLURM=1 $(BIN)/python -m pytest -q tests/slurm

check: $(VENV)/.developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

chaos: $(VENV)/.developed
	$(BIN)/python scripts/chaos.py

demo: install
	$(BIN)/focus demo

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
