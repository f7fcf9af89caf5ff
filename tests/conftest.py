"""Settings and fixtures that tests of several folders share."""

import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from bytecode import write_bytecode
from hypothesis import settings
from warm_workers import FORKED, PATCHED, REAL_VARIABLE, WarmWorkers

# Fixed examples on every machine; HYPOTHESIS_PROFILE=search generates other and more examples.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.register_profile("nightly", derandomize=True, deadline=None)  # and a thousand lives: worker/test_run_states.py
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# These tests need a SLURM cluster, which `make test-slurm` installs and starts.
collect_ignore = [] if os.environ.get("FOCUS_TEST_SLURM") else ["launch/slurm/test_cluster.py"]

# Checkpoints that name code are stamped with a key; tests must not use the key of the user who runs them.
os.environ.setdefault("FOCUS_KEY_FILE", str(Path(tempfile.gettempdir()) / f"focus-test-key-{os.getuid()}"))

# Tests run in parallel on small arrays, where more threads would only compete for the cores.
# Set before torch is loaded; inherited by the workers that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# An app of the dashboard leaves so many objects in circles that the usual thresholds spend a sixth of the CPU time on
# searching all objects of torch and textual again. pytest still collects at the end, and fails what was left open.
gc.set_threshold(20_000, 10, 10)

# A shell that runs the tests in the background ignores these signals, which the workers would inherit.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that start processes first: they take seconds, and at the end other workers would wait for them."""
    items.sort(key=lambda item: item.get_closest_marker("process") is None)


def pytest_collection_finish() -> None:
    """Leave out the modules that are loaded by now when garbage is searched for: torch alone has a million objects."""
    gc.freeze()


@pytest.fixture
def until() -> Callable[..., None]:
    """Return `until(condition, seconds)`, which polls until the condition holds and fails after `seconds`."""

    def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s"
            time.sleep(0.03)

    return wait


SERVER = "FOCUS_TEST_WARM_SERVER"
"""Environment variable with the address of the server that the processes of pytest-xdist share."""


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the server and the bytecode that the processes of pytest-xdist share, in the one that starts them."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        warm = WarmWorkers()
        os.environ[SERVER] = warm.start()
        config.add_cleanup(warm.close)
        write_bytecode(config)  # while the server imports torch


@pytest.fixture(scope="session", autouse=True)
def warm_workers() -> Iterator[WarmWorkers]:
    """Fork workers, ranks and figure processes from one that has torch loaded, but for tests marked `real_start`."""
    warm = WarmWorkers(os.environ.get(SERVER))
    with pytest.MonkeyPatch.context() as patch:
        for module in PATCHED:
            patch.setattr(import_module(module), "subprocess", warm.module)
        yield warm
    warm.close()


@pytest.fixture(scope="session", autouse=True)
def _commands_built_once() -> Iterator[None]:
    """Build the commands of `focus` once a process, as a user does: typer builds all at each call, in 20 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.main.get_command", cache(import_module("typer.main").get_command))
        yield


@pytest.fixture(autouse=True)
def _real_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if (mark := request.node.get_closest_marker("real_start")) is not None:
        monkeypatch.setenv(REAL_VARIABLE, " ".join(mark.args or FORKED))


@pytest.fixture(scope="module", autouse=True)
def _few_draws(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draw fewer perfect generators in tests that are not of the null itself: a judgement takes a third of the time."""
    path = request.path.as_posix()
    with pytest.MonkeyPatch.context() as patch:
        if "/tests/statistics/" not in path or path.endswith("/test_compare.py"):
            patch.setattr("focus_engine.statistics.design.NULL_DRAWS", 100)
            patch.setattr("focus_engine.statistics.design.BOOTSTRAP_DRAWS", 50)
        yield


@pytest.fixture(scope="session", autouse=True)
def usual_draws() -> Iterator[int]:
    """Measure validation losses on few draws, as the forked workers do; yield how many users' losses have."""
    validation = sys.modules.get("focus_engine.training.validation")  # absent where no test trains
    usual = validation.DRAWS if validation else 0
    if validation:
        import_module("preload").validate_on_few()
    yield usual
    if validation:
        validation.DRAWS = usual


@pytest.fixture(scope="module", autouse=True)
def _usual_draws_in_training(request: pytest.FixtureRequest, usual_draws: int) -> Iterator[None]:
    """Measure validation losses as users do in the tests of training, and beside the workers that SLURM starts."""
    path = request.path.as_posix()
    with pytest.MonkeyPatch.context() as patch:
        if usual_draws and ("/tests/training/" in path or path.endswith("/slurm/test_cluster.py")):
            patch.setattr("focus_engine.training.validation.DRAWS", usual_draws)
        yield


@pytest.fixture(scope="module", autouse=True)
def _undrawn_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave figures white in tests that are not of figures, as the forked workers do: most of their time is drawing."""
    with pytest.MonkeyPatch.context() as patch:
        if "/tests/figures/" not in request.path.as_posix() and not request.node.get_closest_marker("figures"):
            patch.setattr("matplotlib.figure.Figure.draw", lambda *_: None)
        yield
