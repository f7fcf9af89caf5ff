"""SLURM without a cluster: options, scripts and job states. test_cluster.py uses a real one."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from example_events import end, worker

from focus_engine.errors import FocusError, InputError
from focus_engine.events.log import append_event
from focus_engine.launch.slurm import jobs, join
from focus_engine.launch.slurm.jobs import Job, SubmittedJob, seconds_of
from focus_engine.launch.slurm.join import time_words
from focus_engine.launch.slurm.options import SlurmOptions, merged, parse_sbatch, read_defaults
from focus_engine.launch.slurm.submit import job_script, submit_run
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "my run")
    run.make_folders()
    run.config.write_text("method: diffusion\n")
    return run


def says(monkeypatch: pytest.MonkeyPatch, job: Job | None, *, answers: bool = True) -> None:
    """Make SLURM report this of every job."""

    class Said:
        def __init__(self) -> None:
            self.answers = answers

        def job(self, _job_id: str) -> Job | None:
            return job

    monkeypatch.setattr(join, "SLURM", Said())


def worker_began(run: RunFolder, when: float) -> None:
    append_event(run.events, worker(time=when, host="n1"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("02:05", 125),
        ("3:10:00", 11400),
        ("1-02:03:04", 93784),
        ("2-00", 172800),
        ("1-12:30", 131400),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("", None),
        ("1-x", None),
        ("1:2:3:4", None),
    ],
)
def test_spans_as_squeue_writes_them(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("time_limit", ["90", "90:00", "1:30:00", "2-12", "2-12:30", "2-12:30:00"])
def test_limits_that_sbatch_takes(time_limit):
    assert SlurmOptions(time=time_limit).time == time_limit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "1 hour"}, "--time '1 hour'"),
        ({"time": "1:2:3:4"}, "--time"),
        ({"partition": "gpu; rm -rf ~"}, "--partition"),
        ({"account": "a b"}, "--account"),
        ({"gpus": 0}, "gpus is 0"),
        ({"notice": True}, "notice is True"),
        ({"sbatch": {"output": "x"}}, "FOCUS sets that option itself"),
        ({"sbatch": {"partition": "x"}}, "write --partition x"),
        ({"sbatch": {"Mem": "1G"}}, "write KEY=VALUE"),
        ({"sbatch": {"comment": "a\n#SBATCH --uid=0"}}, "line breaks"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        SlurmOptions(**options)


def test_options_of_sbatch():
    assert parse_sbatch(["mem=64G", "--constraint=a100&nvlink", "exclusive"]) == {
        "mem": "64G",
        "constraint": "a100&nvlink",
        "exclusive": "",
    }
    with pytest.raises(InputError, match="given twice"):
        parse_sbatch(["mem=1", "mem=2"])


def test_defaults_are_those_of_the_cluster(tmp_path):
    path = tmp_path / "slurm.yaml"
    assert read_defaults("any", path) == SlurmOptions()
    path.write_text(
        "default: {partition: cpu}\nbig: {partition: gpu, time: 12:00:00, sbatch: {mem: 64G, exclusive: true}}\n"
    )
    assert read_defaults(None, path).partition == "cpu"
    assert read_defaults("small", path).partition == "cpu"
    big = read_defaults("big", path)
    assert (big.time, big.sbatch) == ("12:00:00", {"mem": "64G", "exclusive": ""})
    both = merged(big, SlurmOptions(time="60", sbatch={"mem": "1G"}))
    assert (both.partition, both.time, both.sbatch) == ("gpu", "60", {"mem": "1G", "exclusive": ""})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("default: [1]", "a block of keys"),
        ("default: {partitions: x}", "unknown partitions; allowed: partition, gpus"),
        ("default: {time: soon}", "default: --time 'soon'"),
        ("default: {sbatch: mem}", "a block of options is expected"),
        ("default: {\n", "not valid YAML"),
    ],
)
def test_defaults_that_cannot_be(tmp_path, text, message):
    path = tmp_path / "slurm.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        read_defaults(None, path)
    assert str(path) in str(refused.value)


def test_the_script_is_bash_and_runs_this_python(run):
    options = SlurmOptions(
        partition="gpu",
        gpus=4,
        time="12:00:00",
        nodes=2,
        sbatch={"mem": "64G", "exclusive": ""},
        setup="module load cuda",
    )
    text = job_script(run, options, resume=True, devices=4)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    lines = text.splitlines()
    for line in (
        "#SBATCH --job-name=focus-my_run",
        f'#SBATCH --output="{run.logs}/slurm-%j.out"',
        "#SBATCH --signal=B:USR1@120",
        "#SBATCH --requeue",
        "#SBATCH --nodes=2",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --mem=64G",
        "#SBATCH --exclusive",
        "module load cuda",
    ):
        assert line in lines
    command = shlex.split(lines[-1].removeprefix("exec "))
    assert command == [
        *(sys.executable, "-m", "focus_engine.worker", str(run.path), "--slurm", "--resume", "--devices", "4")
    ]
    assert max(index for index, line in enumerate(lines) if line.startswith("#SBATCH")) < lines.index(
        "module load cuda"
    )


def test_a_machine_without_slurm_says_so(run, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FocusError, match="there is no sbatch on this machine"):
        submit_run(run, SlurmOptions())
    assert not run.slurm_script.exists()


def test_a_job_that_has_not_begun(run, monkeypatch):
    SubmittedJob("12", "c", time.time()).write(run)
    says(monkeypatch, Job("12", "PENDING", "Priority", "", "gpu"))
    assert (summarise(run).state, summarise(run).reason) == ("queued", "SLURM job 12 is pending on gpu (Priority)")
    says(monkeypatch, Job("12", "CONFIGURING", "", "n1", "gpu"))
    assert (summarise(run).state, summarise(run).reason) == ("starting", "SLURM job 12 begins on n1")
    says(monkeypatch, Job("12", "CANCELLED"))
    assert (summarise(run).state, summarise(run).reason) == (
        "stopped",
        "SLURM job 12 was cancelled before its worker began",
    )
    says(monkeypatch, Job("12", "NODE_FAIL"))
    assert (summarise(run).state, summarise(run).reason) == (
        "failed",
        "SLURM job 12 lost its node before its worker began",
    )
    says(monkeypatch, None)
    assert summarise(run).state == "lost"
    says(monkeypatch, None, answers=False)
    assert (summarise(run).state, summarise(run).reason) == ("queued", "SLURM job 12: SLURM does not answer")


def test_a_job_that_waits_again_or_died(run, monkeypatch):
    SubmittedJob("12", "c", 1000.0).write(run)
    worker_began(run, 1001.0)
    says(monkeypatch, Job("12", "OUT_OF_MEMORY"))
    assert (summarise(run).state, summarise(run).reason) == (
        "lost",
        "SLURM job 12 ran out of memory, and its worker recorded no outcome",
    )
    append_event(run.events, end("stopped", "r", time=1002.0))
    assert (summarise(run).state, summarise(run).reason) == ("stopped", "r")
    says(monkeypatch, Job("12", "PENDING", "BeginTime", "", "gpu"))
    assert summarise(run).state == "queued"
    monkeypatch.setenv(jobs.JOB_VARIABLE, "12")  # the process that asks is the job itself
    assert summarise(run).state == "stopped"


def test_whether_the_time_is_enough():
    def words(eta: float | None, left: float | None) -> str | None:
        job = Job("1", "RUNNING", seconds_left=left)
        return time_words(RunSummary(name="a", path="a", eta_seconds=eta), job, lambda span: f"{span:g} s")

    assert words(50, 40) == "will not finish: 40 s left, needs 50 s; will requeue"
    assert words(30, 40) == "40 s left, needs 30 s"
    assert words(None, 40) == "40 s left"
    assert words(30, None) is None


def test_a_record_that_cannot_be_read_is_none(run):
    assert SubmittedJob.read(run) is None
    run.slurm_job.write_text('{"job_id": 3')
    assert SubmittedJob.read(run) is None
    assert summarise(run).state == "created"
