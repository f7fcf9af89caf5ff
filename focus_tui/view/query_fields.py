"""The fields of the filter language and their meanings. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from focus_engine.config.methods import method_words
from focus_engine.launch.summary import LIVE_STATES
from focus_tui.view.columns import RunRow
from focus_tui.view.words import GLYPHS, state_words


@dataclass(frozen=True)
class Field:
    """A field of the filter language.

    Attributes:
        name: its name in a filter.
        meaning: its help text, with the unit.
        texts: the texts of a run in this field; one of them must match.
        number: the number of a run in this field; None if unknown.
        kind: whether `texts` or `number` holds the value.
        allowed: the texts that a filter may ask for; empty if any.
    """

    name: str
    meaning: str
    texts: Callable[[RunRow, float], tuple[str, ...]] = lambda _row, _now: ()
    number: Callable[[RunRow, float], float | None] = lambda _row, _now: None
    kind: Literal["text", "number"] = "text"
    allowed: tuple[str, ...] = ()


def _states(row: RunRow, _now: float) -> tuple[str, ...]:
    """Return the state and its other names, such as `live` and `warmup`."""
    run = row.summary
    live = ("live",) if run.state in LIVE_STATES else ()
    return (run.state, *live, *({state_words(run)} - {run.state.replace("_", " ")}))


def _archived(row: RunRow, _now: float) -> tuple[str, ...]:
    return ("any", *(("yes", "true") if row.labels.archived else ("no", "false")))


def _summary_text(name: str) -> Callable[[RunRow, float], tuple[str, ...]]:
    def texts(row: RunRow, _now: float) -> tuple[str, ...]:
        held = getattr(row.summary, name)
        return () if held is None else (held,)

    return texts


def _summary_number(name: str) -> Callable[[RunRow, float], float | None]:
    def number(row: RunRow, _now: float) -> float | None:
        held: float | None = getattr(row.summary, name)
        return held

    return number


def _age(row: RunRow, now: float) -> float | None:
    return None if row.summary.updated is None else max(0.0, now - row.summary.updated)


def _of_summary(name: str, attribute: str, meaning: str) -> Field:
    return Field(name, meaning, number=_summary_number(attribute), kind="number")


FIELDS = {
    field.name: field
    for field in (
        Field("name", "the experiment's name; * stands for anything", _summary_text("name")),
        Field("state", "running, lost, …, or live", _states, allowed=(*GLYPHS, "live", "warmup")),
        Field("method", method_words(), _summary_text("method")),
        Field("phase", "warmup or training", _summary_text("phase"), allowed=("warmup", "training")),
        Field("tag", "one of its tags", lambda row, _: row.labels.tags),
        Field("note", "its note", lambda row, _: (row.labels.note,)),
        Field("archived", "yes, no or any", _archived, allowed=("yes", "no", "any", "true", "false")),
        _of_summary("epoch", "epoch", "epochs done"),
        _of_summary("epochs", "num_epochs", "epochs configured"),
        _of_summary("step", "step", "optimizer steps done"),
        _of_summary("lr", "lr", "learning rate"),
        _of_summary("train", "train_loss", "training loss"),
        _of_summary("val", "val_loss", "validation loss"),
        _of_summary("best", "best_val_loss", "lowest validation loss"),
        _of_summary("at", "best_epoch", "epoch of the lowest validation loss"),
        _of_summary("pk", "pk_error", "median error of P(k); 5% is 0.05"),
        _of_summary("pk_std", "pk_error_std", "its standard error"),
        _of_summary("perfect", "pk_error_null", "the same for a perfect generator"),
        _of_summary("bad", "bad_epochs", "bad epochs of the plateau"),
        _of_summary("plateau", "plateau_patience", "bad epochs at which the learning rate drops"),
        _of_summary("early", "early_stop_count", "bad epochs of early stopping"),
        _of_summary("patience", "early_stop_patience", "bad epochs at which training stops"),
        Field("time", "seconds per epoch, or 2min", number=lambda row, _: row.seconds_per_epoch, kind="number"),
        _of_summary("eta", "eta_seconds", "seconds left, or 2h"),
        Field("age", "time since its last event: seconds, or 2d", number=_age, kind="number"),
        Field("gpu", "where it trains", lambda row, _: () if row.device is None else (row.device,)),
        _of_summary("place", "queue_place", "place in the queue"),
        _of_summary("pid", "pid", "its process id"),
        Field("host", "the machine", _summary_text("host")),
        Field("path", "its folder", _summary_text("path")),
        Field("reason", "why it ended", _summary_text("reason")),
        _of_summary("started", "started", "Unix seconds"),
        _of_summary("updated", "updated", "Unix seconds"),
    )
}
"""Every field, by name, in the order of the help."""

ALIASES = {
    "num_epochs": "epochs",
    "train_loss": "train",
    "val_loss": "val",
    "best_val_loss": "best",
    "best_epoch": "at",
    "pk_error": "pk",
    "pk_error_std": "pk_std",
    "pk_error_null": "perfect",
    "bad_epochs": "bad",
    "plateau_patience": "plateau",
    "early_stop_count": "early",
    "early_stop_patience": "patience",
    "eta_seconds": "eta",
    "queue_place": "place",
    "tags": "tag",
    "device": "gpu",
    "loss": "val",
    "left": "eta",
}
"""Other spellings of fields: those of the JSON, and common guesses."""
