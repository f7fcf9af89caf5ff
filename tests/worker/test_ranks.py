"""Several processes that train one run: the same training as one process, and what the death of any of them does."""

import itertools
import os
import signal
import socket
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from warm_workers import commands_of
from workers import Make, Until, ended, epochs_of, ignore, outcome_of, same, write_config

from focus_engine.data.batches import Share
from focus_engine.errors import InputError
from focus_engine.events.log import read_events
from focus_engine.events.table import RunStarted, StatisticsMeasured, Warned
from focus_engine.launch.process import ProcessIdentity, process_start
from focus_engine.launch.rank_files import RankRecord, read_rank_records
from focus_engine.launch.start import request_stop, start_run
from focus_engine.launch.state import summarise
from focus_engine.launch.torchrun import DEFAULT_PORT, launch_command
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker.foreground import run_in_foreground

pytestmark = pytest.mark.process


def together(make: Make, name: str, *, epochs: int = 2, more: str = "", **keys: object) -> RunFolder:
    """Make a run of two processes."""
    return make(name, epochs=epochs, more=f"devices: 2\n  {more}".rstrip(), **keys)


def rank_pids(run: RunFolder) -> dict[int, int]:
    return {one.rank: int(one.identity["pid"]) for one in read_rank_records(run.ranks)}


def listening_addresses(pid: int) -> set[str]:
    """Return the addresses at which a process accepts connections over the network."""
    sockets = psutil.Process(pid).net_connections("inet")
    return {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM}


def training(run: RunFolder, after: int = 0) -> bool:
    return len(epochs_of(run)) >= after and any(isinstance(event, RunStarted) for event in read_events(run.events))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 32])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_parts_are_the_whole(count, size):
    shares = [Share(rank, size).of(count) for rank in range(size)]
    maps = torch.arange(count)
    parts = [maps[part] for part, _ in shares]
    assert all(len(part) > 0 for part in parts)  # a rank without a map would not take part in the mean
    counted = torch.cat([part for part, (_, weight) in zip(parts, shares, strict=True) if weight])
    assert torch.equal(counted, maps)


@pytest.fixture(scope="module")
def two(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that two processes trained from start to end, by batches that cannot be halved."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOCUS_CACHE", str(cache))
        patch.setenv("OMP_NUM_THREADS", "1")
        run = RunFolder(tmp_path_factory.mktemp("ranks") / "two")
        run.path.mkdir()
        write_uneven(run, "devices: 2")
        assert run_in_foreground(run, on_event=ignore).state == "finished"
    return run


def write_uneven(run: RunFolder, more: str, sample_every: int = 2) -> None:
    write_config(run, epochs=3, sample_every=sample_every, more=f"{more}\n  accumulate: 2\n  precision: float32")
    run.config.write_text(run.config.read_text().replace("batch_size: 32", "batch_size: 7"))


@pytest.mark.xdist_group("two ranks")
def test_two_processes_train_as_one(make: Make, two: RunFolder):
    runs = [make("one"), two]
    write_uneven(runs[0], "seed: 0")
    assert run_in_foreground(runs[0], on_event=ignore).state == "finished"
    one, other = (
        [(e.train_loss, e.val_loss, e.val_loss_raw, e.grad_norm, e.lr, e.step) for e in epochs_of(run)] for run in runs
    )
    assert torch.allclose(torch.tensor(one), torch.tensor(other), rtol=1e-5, atol=0)
    drawn = [np.load(run.sample_maps(3))["maps"] for run in runs]
    assert np.allclose(*np.log10(drawn), atol=1e-3)
    for run in runs:  # how many are measured depends on the time that drawing takes
        measured = [event for event in read_events(run.events) if isinstance(event, StatisticsMeasured)]
        assert [(event.epoch, event.n_maps >= 16) for event in measured] == [(1, True), (2, True), (3, True)]
    started = [event for run in runs for event in read_events(run.events) if isinstance(event, RunStarted)]
    assert [event.ranks for event in started] == [1, 2]
    assert read_events(two.events)[-1].peak_memory > 10**8  # of the process that trains, not of its watcher
    assert "exitcode" not in two.worker_log.read_text()  # the ranks left by themselves: Python's own end aborts here


@pytest.mark.xdist_group("two ranks")
def test_stopped_and_resumed_it_is_bit_for_bit_the_same(make: Make, two: RunFolder, until: Until):
    broken = make("broken")
    write_uneven(broken, "devices: 2", sample_every=0)  # drawing samples changes no weight either
    start_run(broken)
    until(lambda: training(broken, after=1))
    ranks = set(rank_pids(broken).values())
    for pid in ranks:
        os.kill(pid, signal.SIGSTOP)  # so that they do not end meanwhile
    heard = {pid: listening_addresses(int(pid)) for pid in commands_of(str(broken.path))}
    assert set().union(*heard.values()) == {"127.0.0.1"}
    assert {str(pid) for pid in ranks} < set(heard)
    (parent,) = commands_of("local_ranks", str(broken.path))
    assert heard[parent]  # the store of the ranks
    for pid in ranks:
        os.kill(pid, signal.SIGCONT)
    request_stop(broken, "now")
    until(lambda: ended(broken))
    assert outcome_of(broken).state == "stopped"
    assert not [pid for pid in rank_pids(broken).values() if process_start(pid)]
    start_run(broken, resume=True)
    until(lambda: ended(broken))
    assert outcome_of(broken).state == "finished"
    states = [load_checkpoint(run.checkpoint_last).state for run in (two, broken)]
    assert same(states[0]["network"], states[1]["network"])
    assert same(states[0]["ema"], states[1]["ema"])


def test_a_killed_rank_is_restarted_as_often_as_allowed_and_then_fails_the_run(make: Make, until: Until):
    run = together(
        make, "killed", epochs=1000, more="max_restarts: 1\n  max_minutes: 60\n  early_stopping: {patience: 0}"
    )
    run.config.write_text(run.config.read_text() + "worker: {stall_minutes: 0.05}\n")
    start_run(run)
    until(lambda: training(run, after=1))
    os.kill(rank_pids(run)[1], signal.SIGSTOP)  # rank 0 waits for it, and says so
    until(lambda: summarise(run).state == "stalled")
    os.kill(rank_pids(run)[1], signal.SIGCONT)
    until(lambda: summarise(run).state == "running")
    os.kill(rank_pids(run)[0], signal.SIGKILL)
    until(lambda: [event for event in read_events(run.events) if isinstance(event, Warned) and event.code == "restart"])
    reached = len(epochs_of(run))
    until(lambda: len(epochs_of(run)) > reached)
    assert summarise(run).state == "running"
    os.kill(rank_pids(run)[1], signal.SIGKILL)
    until(lambda: ended(run))
    outcome = outcome_of(run)
    assert outcome.state == "failed"
    assert outcome.reason.startswith(f"rank 1 (process {rank_pids(run)[1]} on ")
    assert "was killed" in outcome.reason
    assert not [pid for pid in rank_pids(run).values() if process_start(pid)]

    start_run(run, resume=True)  # and what was killed goes on
    before = len(epochs_of(run))
    until(lambda: len(epochs_of(run)) > before)
    pids = rank_pids(run)
    numbers = [event.epoch for event in epochs_of(run)]
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(numbers))  # none is missing
    os.kill(summarise(run).pid or 0, signal.SIGKILL)  # a killed worker leaves no rank behind
    until(lambda: summarise(run).state == "lost")
    until(lambda: not [pid for pid in pids.values() if process_start(pid)])


BROKEN = """
import itertools
import os
import torch
from focus_engine.models.unet import SimpleUNet

class Broken(SimpleUNet):
    def forward(self, *arguments, **keywords):
        if os.environ.get("RANK") == "1" and self.training:
            raise RuntimeError("the second rank cannot")
        return super().forward(*arguments, **keywords)
"""


def test_a_rank_that_fails_is_named_with_its_traceback(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_network.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    run = together(make, "failing")
    run.config.write_text(run.config.read_text().replace("model: {", "model: {from: broken_network.Broken, "))
    outcome = run_in_foreground(run, on_event=ignore)
    assert outcome.state == "failed"
    assert outcome.reason.startswith("rank 1: RuntimeError: the second rank cannot (the traceback is in worker.log)")
    assert 'raise RuntimeError("the second rank cannot")' in run.worker_log.read_text()


def test_wrong_input_is_told_as_of_one_process(make: Make, tmp_path: Path):
    run = together(make, "wrong", data=f"maps_path: {tmp_path}/none.npy, params_path: {tmp_path}/none.txt")
    with pytest.raises(InputError, match=r"rank \d: .*none.npy"):
        run_in_foreground(run, on_event=ignore)
    run = together(make, "too many")
    run.config.write_text(run.config.read_text().replace("batch_size: 32", "batch_size: 1"))
    with pytest.raises(InputError, match=r"training.devices is 2, more than the 1 maps of training.batch_size"):
        run_in_foreground(run, on_event=ignore)


def test_the_command_on_one_machine_and_on_nodes_of_a_cluster(make: Make, monkeypatch: pytest.MonkeyPatch):
    run = make("x")
    command = launch_command(run, 4, 2, ["--resume"])
    assert command[1:] == [
        *("-m", "focus_engine.worker.local_ranks", "--nproc-per-node=4", "--rdzv-backend=focus-local"),
        *("--rdzv-id=local", "--local-addr=127.0.0.1"),
        *("--max-restarts=2", "-m", "focus_engine.worker.rank", str(run.path), "--resume"),
    ]
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "1234")
    monkeypatch.setenv("FOCUS_HOST", "node1")
    command = launch_command(run, 4, 0, [])
    assert command[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    assert f"--rdzv-endpoint=node1:{DEFAULT_PORT + 234}" in command
    assert "--nnodes=2" in command


def test_notes_of_ranks_that_cannot_be_read_are_left_out(tmp_path: Path):
    identity = asdict(ProcessIdentity.of_this_process())
    RankRecord(1, 0, identity).write(tmp_path)
    RankRecord(0, 1, identity, how="done").write(tmp_path)
    RankRecord(2, 1, {}).write(tmp_path)
    (tmp_path / "attempt_1_rank_1.json").write_text("{torn")
    assert [(one.rank, one.attempt, one.how) for one in read_rank_records(tmp_path)] == [(0, 1, "done")]
