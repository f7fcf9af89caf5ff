"""`focus sweep`: creates and queues experiments on a grid of settings."""

from typing import Annotated

import typer

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder, find_run
from focus_tui.cli.choose import NamedExp, root_of
from focus_tui.cli.command import Command
from focus_tui.cli.train import start_queued
from focus_tui.terminal import out, say, visible

MANY = 50
"""Number of experiments above which a sweep needs --yes."""


def sweep(
    context: typer.Context,
    exp: NamedExp,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="KEY=V1,V2,…", help="A key and its values. Repeatable: all combinations."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key in all of them. Repeatable.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="How their names begin [EXP's name].", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be made.")] = False,
    no_start: Annotated[bool, typer.Option("--no-start", help="Make them, start none.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="Leave out those that exist already.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=f"Make more than {MANY}.")] = False,
) -> None:
    """Make an experiment for each point of a grid and queue them all.

    They copy EXP's config and carry the tag sweep-EXP; each waits for a free device.

    Example: focus sweep base --grid training.lr=1e-4,3e-4 --grid training.batch_size=32,64
    """
    from focus_engine.runs.sweep import create_sweep, parse_axis, plan_sweep, sweep_members, sweep_tag  # pydantic

    root = root_of(context)
    source = find_run(exp, root)
    members = sweep_members(name or source.name, [parse_axis(text) for text in grid or ()])
    known = [member for member in members if missing and RunFolder(root / member.name).exists()]
    members = tuple(member for member in members if member not in known)
    for member in known:
        say(f"{visible(member.name)} exists already")
    if len(members) > MANY and not (yes or dry_run):
        raise InputError(f"this grid has {len(members)} points, more than {MANY}: give --yes to make them all")
    plan_sweep(root, source, members, settings or ())
    for member in members:
        out(f"{visible(member.name)}  {visible('  '.join(member.settings))}")
    if dry_run or not members:
        return
    runs = create_sweep(root, source, members, settings or (), tag=sweep_tag(name or source.name))
    say(f"made {len(runs)} experiment{'s' if len(runs) > 1 else ''}, tag {sweep_tag(name or source.name)}")
    if not no_start:
        start_queued(runs)


COMMANDS = (Command(sweep, "train"),)
