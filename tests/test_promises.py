"""docs/promises.md and SECURITY.md name a test for every promise, and every test that they name exists."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "promises.md"
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


@cache
def names_in(file: Path) -> frozenset[str]:
    nodes = ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def rows() -> list[tuple[str, str]]:
    """Return promise and tests of each row of the page."""
    lines = [
        line.strip("|").split(" | ", 1) for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"
    ]
    pairs = [(first.strip(), second.strip()) for first, second in lines]
    return [pair for pair in pairs if pair != ("promise", "test") and not pair[0].startswith("---")]


def test_every_promise_names_a_test_that_exists():
    assert len(rows()) > 60
    lost = {
        f"{promise}: {file}::{name}"
        for promise, named in rows()
        for file, name in NAMED.findall(named)
        if name not in names_in(TESTS / file)
    }
    assert not lost
    assert not [promise for promise, named in rows() if NAMED.sub("", named).strip(", ") or not NAMED.search(named)]


def test_every_row_about_security_names_tests_that_exist():
    page = (TESTS.parent / "SECURITY.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line[:1] == "|"][2:]
    assert all(NAMED.search(line) for line in table)
    assert not [f"{file}::{name}" for file, name in NAMED.findall(page) if name not in names_in(TESTS / file)]


def test_a_promise_is_made_once():
    promises = [promise for promise, _ in rows()]
    assert len(promises) == len(set(promises))
