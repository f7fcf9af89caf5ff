"""Commands that label experiments, without changing config or log: tag, note, archive."""

from dataclasses import replace
from typing import Annotated

import typer

from focus_engine.errors import InputError, RunConflictError
from focus_engine.runs.folder import find_run
from focus_engine.runs.labels import check_tag, read_labels, write_labels
from focus_tui.cli.choose import NamedExp, complete_names, root_of
from focus_tui.cli.command import Command
from focus_tui.cli.named import quoted_name
from focus_tui.terminal import out, say, visible

# `-draft` is a tag to remove, not the options -d, -r, …; for the same reason there is no option -h.
TAG_CONTEXT = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


def tag(
    context: typer.Context,
    exp: NamedExp,
    tags: Annotated[
        list[str] | None,
        typer.Argument(metavar="±TAG", help="TAG or +TAG adds, -TAG removes; none: print the tags."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove those without a sign.")] = False,
) -> None:
    """Tag an experiment.

    Find tagged ones with focus ls --filter tag:TAG

    Example: focus tag experiment_diffusion baseline -draft
    """
    added, removed = _signed(tags or [], remove=remove)
    run = find_run(exp, root_of(context))
    labels = read_labels(run)
    if not tags:
        for held in labels.tags:
            out(held)
        return
    labels = labels.with_tags(added, removed)
    write_labels(run, labels)
    say(f"{visible(run.name)}: {' '.join(labels.tags) or 'no tags'}")


def note(
    context: typer.Context,
    exp: NamedExp,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The note; '' clears it; left out: print it.")
    ] = None,
) -> None:
    """Write a note on an experiment.

    Example: focus note experiment_diffusion "P(k) low at k > 5: try v prediction"
    """
    run = find_run(exp, root_of(context))
    labels = read_labels(run)
    if text is not None:
        write_labels(run, replace(labels, note=text.strip()))
        say(f"{visible(run.name)}: {'noted' if text.strip() else 'note removed'}")
    elif labels.note:
        out(visible(labels.note))
    else:
        say(f"{visible(run.name)} has no note. Write one: focus note {quoted_name(run)} TEXT")


def archive(
    context: typer.Context,
    exps: Annotated[
        list[str],
        typer.Argument(metavar="EXP...", help="Names or paths of experiments.", autocompletion=complete_names),
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Bring them back into the list.")] = False,
) -> None:
    """Hide experiments from the list.

    Nothing is deleted or moved; focus ls --all shows them.

    Example: focus archive old_run; focus archive old_run --undo
    """
    from focus_engine.launch.state import summarise  # 0.06 s
    from focus_engine.launch.summary import LIVE_STATES

    root = root_of(context)
    runs = list(dict.fromkeys(find_run(name, root) for name in exps))
    for run in runs:
        summary = summarise(run)
        if summary.state in LIVE_STATES and not undo:
            raise RunConflictError(
                f"{run.name} is {summary.state}: stop it before archiving it: focus stop {quoted_name(run)}"
            )
    for run in runs:
        write_labels(run, replace(read_labels(run), archived=not undo))
        back = f"archived; focus archive {quoted_name(run)} --undo brings it back"
        say(f"{visible(run.name)} is {'back in the list' if undo else back}")


def _signed(tags: list[str], *, remove: bool) -> tuple[list[str], list[str]]:
    """Return the tags to add and the tags to remove. Raises InputError for a wrong tag."""
    added: list[str] = []
    removed: list[str] = []
    for given in tags:
        if given.startswith("--"):
            raise InputError(f"no such option: {given} (see focus tag --help)")
        off = given.startswith("-") or (remove and not given.startswith("+"))
        (removed if off else added).append(check_tag(given[1:] if given[:1] in {"+", "-"} else given))
    if both := set(added) & set(removed):
        raise InputError(f"{sorted(both)[0]!r} is both added and removed")
    return added, removed


COMMANDS = (Command(tag, "keep", context=TAG_CONTEXT), Command(note, "keep"), Command(archive, "keep"))
