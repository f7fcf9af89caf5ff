"""Logs that somebody or something has torn, bent and filled with nonsense: the reader lives and the screen is drawn."""

import json
from pathlib import Path

from dashboard import FakeFeed, on_screen, row_from, view_from
from example_events import epoch, samples, spectrum, started, worker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unicode_text import hidden, unicode_classes

from focus_engine.events.line import parse_event
from focus_engine.events.table import Event, Warned
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.screens.watch import WatchScreen
from focus_tui.view.export import tables
from focus_tui.view.panes import panes_with_picture
from focus_tui.view.pictures.picture import PictureOptions

GOOD = [worker(), started(), epoch(1), spectrum(1), samples(1), epoch(2), worker(), started(after=1), epoch(2)]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=20),
    st.lists(st.one_of(st.integers(), st.text(max_size=5), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def bent_lines(draw) -> list[str]:
    """Return the lines of a log in which some fields are missing, of another type, or absurd."""
    lines = []
    for event in GOOD:
        row = json.loads(event.to_json())
        for key in draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
            if draw(st.booleans()):
                row.pop(key, None)
            else:
                row[key] = draw(VALUES)
        line = json.dumps(row)
        lines.append(line[: draw(st.integers(0, len(line)))] if draw(st.integers(0, 9)) == 0 else line)
    return lines


def read(lines: list[str]) -> list[Event]:
    return [event for line in lines if (event := parse_event(line)) is not None]


@given(bent_lines())
def test_bent_events_are_folded_and_drawn(lines):
    view = view_from(read(lines))
    for pane in panes_with_picture():
        drawn = pane.draw(view, PictureOptions(steps=True))
        assert isinstance(drawn.draw(60, 14), str)
    tables(view)


@given(bent_lines())
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_screen_lives(lines):
    import asyncio

    async def show() -> None:
        app = FocusApp(Path("/x"), feed=FakeFeed([view_from(read(lines))]), first=RunFolder(Path("/x/alpha")))
        async with on_screen(app):
            assert isinstance(app.screen, WatchScreen)

    asyncio.run(show())


def on_the_screen(app: FocusApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def test_every_unicode_class_in_notes_and_logs_is_drawn_as_text(own_settings):
    """In the list the note, in the watched run the log: what moves, hides or reorders text is escaped."""
    own_settings.parent.mkdir(parents=True, exist_ok=True)
    own_settings.write_text("columns: [name, note]\n")
    some = "".join(found[len(found) // 2] for found in unicode_classes().values())
    view = view_from([worker(), started(), epoch(1), Warned(code="x", message=f"<{some}>")])
    row = row_from(view, labels=Labels(note=f"<{some}>"))
    app = FocusApp(Path("/x"), feed=FakeFeed([view], [row]))
    async with on_screen(app, 240, 50) as pilot:
        listed = on_the_screen(app)
        app.open_run(RunFolder(Path("/x/alpha")))
        await pilot.pause()
        watched = on_the_screen(app)
    for shown in (listed, watched):
        assert "<" in shown
        assert "\\u" in shown
        assert not hidden(shown)
