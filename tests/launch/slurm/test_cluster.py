"""A real SLURM cluster of two nodes: `make test-slurm` installs it, this module starts and stops it."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from workers import ignore, same, write_config

from focus_engine.config.schema import Config
from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, RunEnded, RunStarted
from focus_engine.launch.rank_files import read_rank_records
from focus_engine.launch.slurm.jobs import SLURM, SubmittedJob
from focus_engine.launch.state import summarise
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.simulation.cache import simulate_cached_universes
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker.foreground import run_in_foreground

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "slurm_cluster.sh"
SMALL = {"simulations": 8, "grid": 8, "map_size": 16, "maps_per_simulation": 15, "train_split": 0.6}
Until = Callable[..., None]
Focus = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start the cluster; fail, rather than skip, when it does not start."""
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("FOCUS_CACHE", str(folder / "cache"))
        patch.setenv("FOCUS_SLURM_CONFIG", str(folder / "slurm.yaml"))
        patch.setenv("OMP_NUM_THREADS", "1")
        drain(simulate_cached_universes(Config.model_validate({"data": SMALL}).data, folder / "cache"))
        yield folder
        subprocess.run(["scancel", "--user", str(os.getuid())], check=False)
        subprocess.run([SCRIPT, "stop", folder], check=True)


@pytest.fixture
def focus(tmp_path: Path) -> Focus:
    """Return a function that runs `focus` on the experiments of this test."""

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "focus_tui", "--root", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return call


def make(root: Path, name: str, epochs: int) -> RunFolder:
    run = RunFolder(root / name)
    run.path.mkdir()
    write_config(
        run, epochs=epochs, more="checkpoint_minutes: 60.0\n  precision: float32\n  early_stopping: {patience: 0}"
    )
    return run


def done(run: RunFolder) -> list[RunEnded]:
    return [event for event in read_events(run.events) if isinstance(event, RunEnded)]


def history(run: RunFolder) -> list[tuple[object, ...]]:
    epochs = {event.epoch: event for event in read_events(run.events) if isinstance(event, EpochFinished)}
    return [(one.epoch, one.train_loss, one.val_loss, one.lr, one.grad_norm) for _, one in sorted(epochs.items())]


def scontrol(*words: str) -> None:
    subprocess.run(["scontrol", *words], check=True)


def node() -> str:
    return subprocess.run(
        ["sinfo", "-h", "-p", "main", "-o", "%N"], capture_output=True, text=True, check=True
    ).stdout.split()[0]


def test_pending_with_its_reason_running_finished(tmp_path: Path, focus: Focus, until: Until):
    run = make(tmp_path, "first", 2)
    scontrol("update", f"nodename={node()}", "state=drain", "reason=a test")
    answer = focus("start", "first", "--slurm", "--partition", "main", "--time", "10", "--sbatch", "comment=hello")
    assert (answer.returncode, answer.stderr.splitlines()[0]) == (0, "watch  focus status first")
    job = SubmittedJob.read(run)
    assert job is not None
    assert answer.stdout == f"submitted first to main, SLURM job {job.job_id}\n"
    assert job.cluster == "focus"
    script = run.slurm_script.read_text()
    for line in ("#SBATCH --partition=main", "#SBATCH --time=10", "#SBATCH --comment=hello"):
        assert line in script.splitlines()
    until(lambda: "(" in str(summarise(run).reason))  # the scheduler has given a reason
    summary = summarise(run)
    assert summary.state == "queued"
    assert summary.reason is not None
    assert summary.reason.startswith(f"SLURM job {job.job_id} is pending on main (")
    again = focus("start", "first", "--slurm")
    assert (again.returncode, "first is queued already" in again.stderr) == (2, True), again.stderr
    scontrol("update", f"nodename={node()}", "state=resume")
    until(lambda: summarise(run).state == "running")
    told = json.loads(focus("status", "first", "--json").stdout)["slurm"]
    assert (told["job_id"], told["partition"], told["nodes"]) == (job.job_id, "main", node())
    until(lambda: summarise(run).state == "finished")
    assert "job" in focus("status", "first").stdout


def test_the_time_limit_saves_requeues_and_goes_on_exactly(tmp_path: Path, focus: Focus, until: Until):
    run = make(tmp_path, "limited", 100_000)
    defaults = Path(os.environ["FOCUS_SLURM_CONFIG"])
    defaults.write_text("default: {notice: 50}\nfocus: {notice: 45, time: 1}\n")
    assert focus("start", "limited", "--slurm").returncode == 0
    defaults.unlink()
    assert "#SBATCH --signal=B:USR1@45" in run.slurm_script.read_text()
    until(lambda: len(history(run)) > 0)
    assert "will not finish: " in focus("status", "limited").stdout
    until(lambda: len(done(run)) == 1, 90)
    outcome = done(run)[0]
    assert outcome.state == "stopped"
    assert outcome.reason.startswith("the SLURM job's time is nearly over; stopped ")
    assert outcome.reason.endswith("; the job asks to be requeued")
    until(lambda: SLURM.forget() or summarise(run).state in {"queued", "starting", "running"})
    epochs = load_checkpoint(run.checkpoint_last).epoch + 5
    run.config.write_text(run.config.read_text().replace("num_epochs: 100000", f"num_epochs: {epochs}"))
    until(lambda: summarise(run).state == "finished", 60)
    whole = make(tmp_path, "whole", epochs)
    run_in_foreground(whole, on_event=ignore)
    assert history(run) == history(whole)
    assert same(load_checkpoint(run.checkpoint_last).state, load_checkpoint(whole.checkpoint_last).state)


def test_a_preempted_job_goes_on(tmp_path: Path, focus: Focus, until: Until):
    run, other = make(tmp_path, "patient", 3000), make(tmp_path, "urgent", 2)
    cpus = str(os.cpu_count())
    assert focus("start", "patient", "--slurm", "--sbatch", f"cpus-per-task={cpus}").returncode == 0
    until(lambda: len(history(run)) > 1)
    answer = focus("start", "urgent", "--slurm", "--partition", "urgent", "--sbatch", f"cpus-per-task={cpus}")
    assert answer.returncode == 0, answer.stderr
    until(lambda: summarise(other).state == "finished", 90)
    assert done(run)[0].state == "stopped"
    reached = load_checkpoint(run.checkpoint_last).epoch
    until(lambda: len(history(run)) > reached + 1, 90)
    assert summarise(run).state == "running"
    assert focus("stop", "patient", "--now").returncode == 0
    until(lambda: summarise(run).state == "stopped")
    assert "requeue" not in str(summarise(run).reason)
    until(lambda: SLURM.forget() or not SLURM.job(SubmittedJob.read(run).job_id).active)
    assert summarise(run).state == "stopped"  # a user's stop is not requeued


def test_stop_cancels_what_waits_and_scancel_is_told(tmp_path: Path, focus: Focus, until: Until):
    waiting, running = make(tmp_path, "waiting", 2), make(tmp_path, "running", 3000)
    assert focus("start", "waiting", "--slurm", "--sbatch", "begin=now+1hour").returncode == 0
    until(lambda: summarise(waiting).state == "queued")
    answer = focus("stop", "waiting")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.startswith("waiting has left the queue: it was SLURM job ")
    until(lambda: summarise(waiting).state == "stopped")  # SLURM's answers are kept for a few seconds
    assert str(summarise(waiting).reason).endswith("was cancelled before its worker began")
    assert not waiting.has_checkpoints()

    assert focus("start", "running", "--slurm").returncode == 0
    until(lambda: len(history(running)) > 1)
    subprocess.run(["scancel", SubmittedJob.read(running).job_id], check=True)
    until(lambda: summarise(running).state == "stopped")
    assert done(running)[0].reason.startswith("asked to stop")
    assert load_checkpoint(running.checkpoint_last).epoch >= 1


def test_a_worker_that_is_killed_is_lost_with_slurms_word_for_it(tmp_path: Path, focus: Focus, until: Until):
    run = make(tmp_path, "killed", 3000)
    assert focus("start", "killed", "--slurm").returncode == 0
    until(lambda: len(history(run)) > 1)
    pid = summarise(run).pid
    assert pid is not None
    os.kill(pid, 9)
    until(lambda: summarise(run).state == "lost")
    until(lambda: SLURM.forget() or "failed" in str(summarise(run).reason))
    assert str(summarise(run).reason).startswith("SLURM job ")
    answer = focus("resume", "killed", "--slurm")
    assert answer.returncode == 0, answer.stderr
    before = len(history(run))
    until(lambda: len(history(run)) > before)
    focus("stop", "killed", "--now")
    until(lambda: summarise(run).state == "stopped")


def test_two_nodes_train_one_run_as_one_does(tmp_path: Path, focus: Focus, until: Until):
    run, alone = make(tmp_path, "both", 2), make(tmp_path, "alone", 2)
    answer = focus("start", "both", "--slurm", "--partition", "pair", "--nodes", "2")
    assert answer.returncode == 0, answer.stderr
    until(lambda: done(run), 120)
    assert done(run)[0].state == "finished", run.worker_log.read_text()
    started = [event for event in read_events(run.events) if isinstance(event, RunStarted)]
    assert [event.ranks for event in started] == [2]
    assert [one.how for one in read_rank_records(run.ranks)] == ["done", "done"]
    run_in_foreground(alone, on_event=ignore)
    losses = [[(one[1], one[2]) for one in history(which)] for which in (run, alone)]
    assert np.allclose(*losses, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--partition", "nowhere"], "SLURM refuses the job: invalid partition specified: nowhere"),
        (["--sbatch", "meme=1"], "SLURM refuses the job"),
    ],
)
def test_what_slurm_refuses_is_said_in_its_words(tmp_path: Path, focus: Focus, options: list[str], words: str):
    run = make(tmp_path, "refused", 2)
    answer = focus("start", "refused", "--slurm", *options)
    assert (answer.returncode, words in answer.stderr) == (2, True), answer.stderr
    assert "Traceback" not in answer.stderr
    assert summarise(run).state == "created"


def test_the_commands_of_the_guide(tmp_path: Path, focus: Focus, until: Until):
    guide = (SCRIPT.parents[1] / "docs" / "clusters.md").read_text(encoding="utf-8")
    *_, commands = re.findall(r"```sh\n(.*?)```", guide, flags=re.DOTALL)
    run = make(tmp_path, "my_run", 100_000)
    for line in commands.splitlines():
        answer = focus(*shlex.split(line)[1:])
        assert answer.returncode == 0, answer.stderr
        if "--slurm" in line:
            until(lambda: summarise(run).state == "running")
        elif "stop" in line:
            until(lambda: summarise(run).state == "stopped")
    assert focus("stop", "my_run", "--now").returncode == 0
