# make demo | test | test-references | test-slurm | test-faults | check | chaos | nightly | bench | bench-spectrum | install | clean
# Everything lives in .venv; PYTHON chooses the interpreter it is made with (>= 3.11).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Processes that run tests: one more than cores, since some wait for what they started. More than 8 cost more than they save.
JOBS   ?= $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count() or 1, 7) + 1)')

# The suite starts hundreds of processes, which would compile every module anew where images switch bytecode off.
unexport PYTHONDONTWRITEBYTECODE

# test-references alone builds Pylians (it needs a C compiler and takes minutes); test compares with the numbers that
# it gave. test-slurm and test-faults install system packages (slurm-wlm, munge; libfuse2) and need root.

.PHONY: install test pytest test-references test-slurm test-faults check demo chaos nightly bench bench-spectrum clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.developed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.installed

# Checks and tests side by side; make waits for both.
test: $(VENV)/.developed
	+$(MAKE) --no-print-directory -j 2 check pytest

pytest: $(VENV)/.developed
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup

$(VENV)/.references: $(VENV)/.developed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check Pylians==0.12
	touch $@

test-references: $(VENV)/.references
	$(BIN)/python -m pytest -q -m references

test-slurm: $(VENV)/.developed
	scripts/slurm_cluster.sh install
	FOCUS_TEST_SLURM=1 $(BIN)/python -m pytest -q tests/launch/slurm/test_cluster.py

test-faults: $(VENV)/.developed
	apt-get install --yes --no-install-recommends libfuse2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check fusepy==3.0.1
	$(BIN)/python -m pytest -q -m faults

check: $(VENV)/.developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The other programs that benchmarks measure beside ours, outside the environment of the project.
.bench/.installed: $(VENV)/.developed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .bench/peers \
		denoising-diffusion-pytorch==2.3.4 einops ema-pytorch accelerate tqdm pytorch-fid
	$(PYTHON) -m venv .bench/jax
	.bench/jax/bin/python -m pip install --quiet --disable-pip-version-check jax jaxpm packaging
	$(PYTHON) -m venv .bench/leet
	.bench/leet/bin/python -m pip install --quiet --disable-pip-version-check wandb
	touch $@

# Benchmarks of a CPU beside other programs: under 30 minutes on two quiet cores. bench-spectrum takes two hours.
bench: .bench/.installed $(VENV)/.references
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/dashboard.py --leet .bench/leet/bin/wandb
	$(BIN)/python benchmarks/dashboard_load.py
	$(BIN)/python benchmarks/power.py
	$(BIN)/python benchmarks/judge.py
	PYTHONPATH=.bench/peers $(BIN)/python benchmarks/cpu_training.py
	PYTHONPATH=.bench/peers $(BIN)/python benchmarks/background_training.py
	PYTHONPATH=.bench/peers $(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/streaming.py
	$(BIN)/python benchmarks/simulation.py --jax-python .bench/jax/bin/python
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/scaling.py --rounds 2
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/check.py --rounds 1
	$(BIN)/python scripts/benchmark_pages.py

# Everything that docs/training_well.md says of seconds, boxes and machines; it goes on where it was interrupted.
SPECTRUM := PYTHONPATH=.bench/peers $(BIN)/python benchmarks/time_to_spectrum.py --keep .bench/time_to_spectrum.jsonl
bench-spectrum: .bench/.installed
	$(SPECTRUM) --budgets 15 120 300 --peer-seconds 300
	$(SPECTRUM) --peer-seconds --budgets 120 --set training.precision=float32
	$(SPECTRUM) --peer-seconds --budgets 120 --set data.box_size=50 data.simulation_seed=7
	$(SPECTRUM) --peer-seconds --budgets 120 --template small
	$(SPECTRUM) --peer-seconds --budgets 600 --set data.map_size=64 data.grid=64

chaos: $(VENV)/.developed
	$(BIN)/python scripts/chaos.py --json benchmarks/results/chaos.json

# The long checks, some five hours; each writes the table of its last run to benchmarks/results: what a disk may hold after a
# power cut, failing calls of eleven commands, 10,000 mutations of every kind of file, an hour with eight writers and a
# dashboard; then a thousand lives of a run. One that fails stops the others: `make -k nightly` goes on.
NIGHTLY := power-loss failing-calls fuzz soak lives
.PHONY: $(NIGHTLY)
nightly: $(NIGHTLY)

power-loss: $(VENV)/.developed
	$(BIN)/python scripts/power_loss.py

failing-calls: $(VENV)/.developed
	$(BIN)/python scripts/failing_calls.py

fuzz: $(VENV)/.developed
	$(BIN)/python scripts/fuzz_files.py --each 10000 --json benchmarks/results/fuzz.json

soak: $(VENV)/.developed
	$(BIN)/python scripts/soak.py --minutes 60 --json benchmarks/results/soak.json

lives: $(VENV)/.developed
	HYPOTHESIS_PROFILE=nightly FOCUS_LIVES=$(CURDIR)/benchmarks/results/lives.json $(BIN)/python -m pytest -q tests/worker/test_run_states.py

demo: install
	$(BIN)/focus demo

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
