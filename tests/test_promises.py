"""docs/promises.md and SECURITY.md name a test for every promise, and every test that they name exists."""

import ast
import json
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


RESULTS = TESTS.parent / "benchmarks" / "results"
GUIDE = TESTS.parent / "docs" / "reliability.md"


def test_the_table_of_faults_is_that_of_the_last_run():
    page, run = GUIDE.read_text(encoding="utf-8"), json.loads((RESULTS / "chaos.json").read_text(encoding="utf-8"))
    assert not run["quick"]
    keys = ("fault", "inflicted", "runs_lost", "checkpoints_corrupted", "states_that_lied")
    rows = [[*(str(row[key]) for key in keys), f"{row['seconds']:.0f}"] for row in run["faults"]]
    table = page.split("| fault | times |")[1].split("\n\n")[0].splitlines()[2:]
    assert [line.strip("| ").split(" | ") for line in table] == rows
    assert f"(seed {run['seed']}, `benchmarks/results/chaos.json`)" in page
    assert f"inflicted {sum(row['inflicted'] for row in run['faults'])} in {run['seconds'] / 60:.1f} minutes" in page


def test_the_figures_of_the_long_checks_are_those_of_their_last_runs():
    page, known = GUIDE.read_text(encoding="utf-8"), {}
    for name in ("power_loss", "failing_calls", "fuzz"):
        known[name] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    cut, runs, files = known["power_loss"], known["failing_calls"]["runs"], known["fuzz"]["files"].values()
    assert f"| changes recorded | {cut['changes']:,} |" in page
    assert f"| distinct states | {cut['distinct']:,} |" in page
    assert (
        f"| of them ext4, NFS, any | {', '.join(str(cut['states'][kind]) for kind in ('ext4', 'nfs', 'any'))} |" in page
    )
    assert f"| resumed to the end | {cut['resumed']} |" in page
    assert f"| lies, lost, tracebacks | {cut['lies']}, {cut['lost']}, {cut['tracebacks']} |" in page
    assert f"| injections | {' | '.join(str(run['injections']) for run in runs)} |" in page
    harms = (", ".join(str(run[key]) for key in ("lies", "lost", "tracebacks", "unclear")) for run in runs)
    assert f"| lies, lost, tracebacks, unclear messages | {' | '.join(harms)} |" in page
    assert f"| {sum(one['read'] for one in files):,} |" in page
    for name in ("hung", "raised"):
        assert f"| {name} | {sum(one[name] for one in files)} |" in page
