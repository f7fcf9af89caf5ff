"""Small runs with real workers, shared by tests of worker processes."""

import os
import threading
from collections.abc import Callable
from typing import Any

import torch

from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, Event, RunEnded
from focus_engine.launch.process import process_start
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_engine.training import pace
from focus_engine.worker import __main__ as worker
from focus_engine.worker import session

CONFIG = """\
data: {{{data}}}
model: {{cond_dim: 2, base_channels: 4, channel_mults: [1, 2], time_dim: 16}}
diffusion: {{timesteps: 20, schedule: cosine, prediction: v}}
sampling: {{ddim_timesteps: 2}}
training:
  batch_size: 32
  lr: 1e-3
  num_epochs: {epochs}
  sample_every: {sample_every}
  {more}
  scheduler: {{warmup_epochs: 1}}
device: cpu
notify: {{command: 'echo "$FOCUS_STATE $FOCUS_EPOCH" >> {{told}}'}}
"""
DATA = "simulations: 8, grid: 8, map_size: 16, maps_per_simulation: 15, train_split: 0.6"
TIMES = {"time", "seconds", "maps_per_second", "data_wait", "eta_seconds"} | {
    *("pk_error", "pk_error_std", "pk_error_null")  # the number of maps follows from the time that drawing takes
}
Make = Callable[..., RunFolder]
Until = Callable[..., None]


def write_config(
    run: RunFolder, *, epochs: int = 2, sample_every: int = 0, more: str = "seed: 0", data: str = DATA
) -> None:
    text = CONFIG.format(data=data, epochs=epochs, sample_every=sample_every, more=more)
    run.config.write_text(text.replace("{told}", f'"{run.path}/told.txt"'))


def fork_worker(run: RunFolder, before: Callable[[], None]) -> int:
    """Fork a worker of `run` without figures from this process, which calls `before` first; return its pid."""
    run.make_folders()
    pid = os.fork()
    if pid:
        threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()  # so that it leaves no zombie
        return pid
    code = 70
    try:
        os.setsid()
        log = os.open(run.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        pace.PROGRESS_SECONDS = 0.0
        session.Artist.draw = lambda _self, _what: None  # type: ignore[method-assign]
        before()
        code = worker.main([str(run.path)])
    finally:
        os._exit(code)


def epochs_of(run: RunFolder) -> list[EpochFinished]:
    return [event for event in read_events(run.events) if isinstance(event, EpochFinished)]


def ended(run: RunFolder) -> bool:
    """Return whether the worker process has exited, after its last figure."""
    pid = summarise(run).pid
    return pid is not None and process_start(pid) is None


def outcome_of(run: RunFolder) -> RunEnded:
    last = read_events(run.events)[-1]
    assert isinstance(last, RunEnded)
    return last


def told(run: RunFolder) -> list[str]:
    return (run.path / "told.txt").read_text().split("\n")[:-1]


def ignore(event: Event) -> None:
    """Discard an event of a run in the foreground."""


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
