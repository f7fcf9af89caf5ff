"""Bytecode of the tests and the packages, written once for all processes of pytest-xdist.

On a fresh clone each would compile everything itself, with pytest's rewriting of assertions: 4 s of CPU each.
"""

import compileall
import contextlib
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


def write_bytecode(config: pytest.Config) -> None:
    """Compile what has changed since its bytecode was written, as pytest does when it imports a test."""
    if sys.dont_write_bytecode or config.getoption("assertmode", "rewrite") != "rewrite":
        return
    for package in ("focus_engine", "focus_tui", "tests/support"):
        compileall.compile_dir(TESTS.parent / package, quiet=2)
    with contextlib.suppress(ImportError, AttributeError, TypeError):  # inner parts of pytest
        _write_rewritten(config)


def _write_rewritten(config: pytest.Config) -> None:
    from _pytest.assertion import rewrite

    state = config.stash[rewrite.assertstate_key]
    for path in (*TESTS.rglob("test_*.py"), *TESTS.rglob("conftest.py")):
        folder = rewrite.get_cache_dir(path)
        compiled = folder / (path.name[:-3] + rewrite.PYC_TAIL)
        if compiled.exists() and compiled.stat().st_mtime > path.stat().st_mtime:
            continue
        if rewrite.try_makedirs(folder):
            stat, code = rewrite._rewrite_test(path, config)
            rewrite._write_pyc(state, code, stat, compiled)
