"""The curves of train and val loss and of the learning rate against the epoch."""

from typing import TypedDict

from focus_tui.view.pictures.picture import Picture, PictureOptions, waiting
from focus_tui.view.run_view import RunView
from focus_tui.view.words import loss, rate


def first_epoch(view: RunView, span: str) -> int:
    """Return the first epoch of the curves; 1 if the span would hold fewer than three epochs."""
    last = view.epochs[-1].epoch if view.epochs else 0
    first = {"after warmup": view.warmup_epochs + 1, "second half": last // 2 + 1, "last quarter": 3 * last // 4 + 1}
    start = first.get(span, 1)
    return start if last - start >= 2 else 1


def loss_picture(view: RunView, options: PictureOptions) -> Picture:
    """Return train and val loss against the epoch, with warmup, rate cuts, resumes and early stopping marked."""
    smooth = f"  smoothed {options.smoothing:g}" if options.smoothing else ""
    last = view.epochs[-1] if view.epochs else None
    now = "" if last is None else f"  train {loss(last.train_loss)}  val {loss(last.val_loss)}"
    start = first_epoch(view, options.span)
    steps = view.steps if options.steps and view.steps is not None and view.steps.epoch.size else None

    def draw(width: int, height: int) -> str:
        from focus_tui.charts.curves import draw_losses

        if last is None:
            return waiting(view)
        inside = None if steps is None else steps.epoch >= start - 1
        return draw_losses(
            view.values("epoch"),
            view.values("train_loss"),
            view.values("val_loss"),
            width=width,
            height=height,
            color=options.color,
            log=options.log_y,
            log_x=options.log_x,
            smoothing=options.smoothing,
            first_epoch=start,
            early_stopped=view.early_stopped,
            best_epoch=view.best_epoch,
            step_epochs=None if steps is None else steps.epoch[inside],
            step_loss=None if steps is None else steps.loss[inside],
            **_marks(view, start),
        )

    points = steps.epoch.size if steps is not None else 0
    key = (*_about(view, options), points, options.log_y, options.smoothing)
    return Picture(f"Loss{_span_words(start)}{smooth}{now}", draw, key)


class Marks(TypedDict):
    """The marks on the axis of epochs."""

    warmup_epochs: int
    cuts: tuple[int, ...]
    resumed_after: tuple[int, ...]


def _marks(view: RunView, start: int) -> Marks:
    """Return the marks of a run from epoch `start` on."""
    return {
        "warmup_epochs": view.warmup_epochs,
        "cuts": tuple(epoch for epoch in view.cuts if epoch >= start),
        "resumed_after": tuple(epoch for epoch in view.resumed_after if epoch >= start),
    }


def _span_words(start: int) -> str:
    return f" from epoch {start}" if start > 1 else ""


def lr_picture(view: RunView, options: PictureOptions) -> Picture:
    """Return the learning rate against the epoch: warmup ramp and plateau steps."""
    start = first_epoch(view, options.span)
    now = f"  next {rate(view.epochs[-1].next_lr)}" if view.epochs else ""

    def draw(width: int, height: int) -> str:
        from focus_tui.charts.curves import draw_lr

        if not view.epochs:
            return waiting(view).split("\n")[0]
        kept = view.values("epoch") >= start
        return draw_lr(
            view.values("epoch")[kept],
            view.values("lr")[kept],
            width=width,
            height=height,
            color=options.color,
            log_x=options.log_x,
            **_marks(view, start),
        )

    return Picture(f"Learning rate{_span_words(start)}{now}", draw, _about(view, options))


def _about(view: RunView, options: PictureOptions) -> tuple[object, ...]:
    """Return the part of the picture key that both curves share."""
    last = view.epochs[-1] if view.epochs else None
    latest = (last.epoch, last.time) if last is not None else waiting(view)
    run = (view.summary.path, latest, view.resumed_after, view.early_stopped)
    return (*run, options.color, options.log_x, options.span)
