"""The README is correct: its commands exist with the options that it shows, and its paths exist."""

import re
import shlex
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
README = (HOME / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
LINES = [line.split("  #")[0].split(" > ")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("focus ")]
COMMANDS += re.findall(r"`(focus [^`]+)`", README)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_parses(line):
    import click
    import typer

    from focus_tui.cli.app import app

    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    context = click.Context(command, info_name="focus")
    while isinstance(command, click.Group):
        assert words, f"{line}: which command?"
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: there is no command {words[0]}"
        command, words = found, words[1:]
    command.make_context(command.name, list(words), parent=context, resilient_parsing=False)


def test_pictures_and_files_exist():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (HOME / path).is_file(), path
    for path in re.findall(r"`((?:focus_engine|focus_tui|benchmarks|docs)/[\w/.]+)`", README):
        assert (HOME / path).exists(), path


def test_the_two_commands_are_targets_of_make():
    targets = re.findall(r"^(\w+):", (HOME / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets)


def test_its_epoch_block_is_the_one_that_is_printed():
    from focus_engine.events.epoch_block import RULE

    (block,) = re.findall(r"^```\n(=.*?)```", README, flags=re.DOTALL | re.MULTILINE)
    assert block.splitlines()[0] == block.splitlines()[2] == RULE
