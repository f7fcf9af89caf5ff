"""Commands: each module exports its own, and `focus` is built from them."""

from typer.testing import CliRunner

from focus_tui.cli.app import MODULES, build_app
from focus_tui.cli.command import STAGES, Command, Group
from focus_tui.terminal import out

EVERY = tuple(command for module in MODULES for command in module.COMMANDS)


def flip(times: int = 1) -> None:
    """Turn every map upside down.

    Twice leaves them as they were.
    """
    out(f"flipped {times}")


def names(arguments, commands):
    text = CliRunner().invoke(build_app(commands), arguments).output
    return [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines()]


def test_a_command_of_a_toy_module_is_in_the_help_and_runs():
    toy = (Command(flip, "judge"),)
    assert names(["--help"], (*EVERY, *toy)) == [
        *names(["--help"], EVERY)[:-3],
        "flip",
        *names(["--help"], EVERY)[-3:],
    ]
    done = CliRunner().invoke(build_app((*EVERY, *toy)), ["flip", "--times", "2"])
    assert done.output == "flipped 2\n"


def test_a_group_of_a_toy_module_comes_last():
    toy = Group("maps", "Turn maps.", (Command(flip), Command(flip, name="turn")))
    assert names(["--help"], (toy, *EVERY))[-3:] == ["maps", "data", "config"]
    assert names(["maps", "--help"], (toy, *EVERY)) == ["flip", "turn"]
    assert CliRunner().invoke(build_app((toy, *EVERY)), ["maps", "turn"]).output == "flipped 1\n"


def test_every_command_is_exported_once_and_says_what_it_does():
    functions = [one for each in EVERY for one in (each.commands if isinstance(each, Group) else (each,))]
    assert len({id(one.function) for one in functions}) == len(functions)
    for one in functions:
        assert one.stage in STAGES
        assert one.function.__doc__
