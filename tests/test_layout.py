"""No import cycles, neither between the packages of a tree nor between its files.

Read from the source, so that imports inside functions and under TYPE_CHECKING count too: they hide a cycle from Python,
not from a reader. `__init__` of the engine, which exports the library, does not count.
"""

import ast
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
TREES = ("focus_engine", "focus_tui")
LOOSE = {
    "focus_engine": {
        "__init__",
        "allocator",
        "api",
        "atomic",
        "cache",
        "errors",
        "gpus",
        "progress",
        "pulse",
        "seal",
        "small_files",
        "spooling",
        "trust",
        "trust_flag",
        "units",
        "version",
        "weights_seal",
    },
    "focus_tui": {"__init__", "__main__", "terminal"},
}


def modules(home: Path = HOME) -> dict[str, Path]:
    """Return every module of the trees by its dotted name; `__init__` has the name of its package."""
    paths = (path for tree in TREES for path in (home / tree).rglob("*.py"))
    return {".".join(path.relative_to(home).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the dotted name of each import below `node`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from imports(child)


def files(home: Path = HOME) -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    known = modules(home)
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        found = imports(ast.parse(path.read_text(encoding="utf-8")))
        wanted = {one if one in known else one.rpartition(".")[0] for one in found}
        graph[name] = {one for one in wanted & known.keys() if one not in {name, *TREES}}
    return {name: wanted for name, wanted in graph.items() if name not in TREES}


def packages(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the packages that each package imports; a loose module counts as a package."""

    def package(name: str) -> str:
        return ".".join(name.split(".")[:2])

    rooms: dict[str, set[str]] = {}
    for name, wanted in graph.items():
        rooms.setdefault(package(name), set()).update({package(one) for one in wanted} - {package(name)})
    return rooms


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return a cycle of the graph, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_files_have_no_import_cycle():
    assert circle(files()) == []


def test_packages_have_no_import_cycle():
    assert circle(packages(files())) == []


def test_nothing_is_imported_whose_types_mypy_does_not_read():
    """What mypy skips has no types, so that strict checks would say nothing of its use."""
    settings = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    skipped = [one for rule in settings["overrides"] if rule.get("follow_imports") for one in rule["module"]]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in modules().values()]
    named = {name for tree in trees for name in imports(tree)} | {
        ast.unparse(node).replace("np.", "numpy.", 1)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    assert "torch._dynamo.*" in skipped
    assert [name for name in named if any(fnmatchcase(f"{name}.", one) for one in skipped)] == []


@pytest.mark.parametrize("where", ["", "def later():\n    ", "if TYPE_CHECKING:\n    "])
def test_a_cycle_is_found(tmp_path, where):
    for name, wanted in {
        "runs/folder": "launch.start",
        "launch/start": "events.log",
        "events/log": "runs.folder",
    }.items():
        path = tmp_path / "focus_engine" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(f"{where}from focus_engine.{wanted} import one\n", encoding="utf-8")
    graph = files(tmp_path)
    assert len(circle(graph)) == 4
    assert len(circle(packages(graph))) == 4


@pytest.mark.parametrize("tree", TREES)
def test_only_listed_modules_are_outside_packages(tree):
    assert {path.stem for path in (HOME / tree).glob("*.py")} == LOOSE[tree]


@pytest.mark.parametrize("tree", TREES)
def test_package_inits_import_nothing(tree):
    """So that `focus ls` imports only what it needs; `__init__` of the engine imports lazily."""
    for path in (HOME / tree).rglob("*/__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert [type(node) for node in body] == [ast.Expr], path


def test_tests_mirror_the_tree():
    """Each folder of tests has the name of the package that it tests."""
    places = {"tests": HOME / "focus_engine", "tests/tui": HOME / "focus_tui"}
    own = {"support", "tui", "fixtures"}
    for folder, tree in places.items():
        for path in (HOME / folder).rglob("test_*.py"):
            room = path.relative_to(HOME / folder).parent
            if not room.parts or (folder == "tests" and room.parts[0] in own):
                continue
            assert (tree / room).is_dir(), path
