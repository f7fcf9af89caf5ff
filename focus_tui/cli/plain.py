"""The plain forms of the most frequent commands, run without typer: `focus ls`, `status`, `start` and `tui`.

Importing typer and every command takes 0.1 s of CPU time, and typer parses a value by pydantic: 0.1 s more. These
forms have next to nothing to parse. All others, such as those with more options, go through typer.
"""

from collections.abc import Sequence
from pathlib import Path

from focus_engine.runs.folder import experiments_root


def run_plain(arguments: Sequence[str]) -> bool:
    """Run the command if it has a plain form; return whether it was run. `--root`, if given, comes first."""
    has_root = len(arguments) > 1 and arguments[0] == "--root"
    command, *words = [*(arguments[2:] if has_root else arguments), ""]
    run = _PLAIN.get(command)
    return run is not None and run(Path(arguments[1]) if has_root else None, words[:-1])


def _ls(root: Path | None, words: Sequence[str]) -> bool:
    """Run `focus ls [--json] [--all]`."""
    if not {"--json", "--all"}.issuperset(words):
        return False
    from focus_tui.cli.listing import print_runs

    print_runs(experiments_root(root), as_json="--json" in words, archived="--all" in words)
    return True


def _status(root: Path | None, words: Sequence[str]) -> bool:
    """Run `focus status [EXP] [--json]`."""
    names = [word for word in words if word != "--json"]
    if not _at_most_one_name(names):
        return False
    from focus_tui.cli.named import named_run
    from focus_tui.cli.status import print_status

    print_status(named_run(experiments_root(root), *names), as_json="--json" in words)
    return True


def _start(root: Path | None, words: Sequence[str]) -> bool:
    """Run `focus start [EXP]`."""
    if not _at_most_one_name(words):
        return False
    from focus_tui.cli.launching import launch
    from focus_tui.cli.named import named_run

    launch(named_run(experiments_root(root), *words))
    return True


def _at_most_one_name(words: Sequence[str]) -> bool:
    return len(words) < 2 and not any(word.startswith("-") for word in words)


def _tui(root: Path | None, words: Sequence[str]) -> bool:
    """Run `focus tui [EXP]`."""
    if not _at_most_one_name(words):
        return False
    from focus_tui.dashboard.open import open_dashboard

    open_dashboard(experiments_root(root), *words)
    return True


_PLAIN = {"ls": _ls, "status": _status, "start": _start, "tui": _tui}
