"""Sampling jobs: processes that report in JSON lines, here small scripts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from focus_tui.dashboard.jobs import JobProgress, SamplingJob

RESULT = {
    "path": "/x/a.npz",
    "figure": "/x/a.png",
    "n_maps": 2,
    "nfe": 50,
    "power": {"k": [1.0, 2.0], "power_mean": [3.0, 4.0], "power_std": [0.1, 0.2], "k_nyquist": 4.0},
}
SAY = "import json, os, signal, sys, time\nsay = lambda **k: print(json.dumps(k), file=sys.stderr, flush=True)\n"


@pytest.fixture
def launch():
    """Start a stand-in for `focus sample`; kill those still running at the end."""
    jobs = []

    def start(script: str) -> SamplingJob:
        jobs.append(SamplingJob.launch([sys.executable, "-c", SAY + script], label="alpha"))
        return jobs[-1]

    yield start
    for job in jobs:
        if job.running:
            job._process.kill()
        job.wait()


def test_a_result_comes_with_progress_notes_and_warnings(launch):
    job = launch(
        "say(note='checkpoint_best.pt'); say(warning='far out')\n"
        "say(done=3, total=4, words='sampling'); say(done=4, total=4, words='sampling on')\n"
        f"print({json.dumps(json.dumps(RESULT))})"
    )
    end = job.wait(30)
    assert (end.done, end.total, end.words, end.note) == (4, 4, "sampling on", "checkpoint_best.pt")
    assert end.warnings == ("far out",)
    assert end.failed is None
    assert (end.finished.path, end.finished.n_maps, end.finished.nfe) == (Path("/x/a.npz"), 2, 50)
    assert end.finished.power.std == (0.1, 0.2)
    assert job.poll() is end


def test_progress_is_seen_while_it_runs(launch, until):
    job = launch("say(done=1, total=9, words='one'); sys.stdin.read(); time.sleep(600)")
    until(lambda: job.poll().done == 1)
    assert not job.poll().ended
    assert job.running


def test_a_failure_is_the_last_line_of_stderr(launch):
    end = launch("say(done=1, total=9, words='x'); sys.exit('focus: no space left on device')").wait(30)
    assert end.failed == "no space left on device"
    assert end.finished is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sys.exit(3)", "code 3 and no message"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
        ("print('{\"path\": 1}')", "no message"),
        ("print('[1, 2]'); print('[' * 100000, file=sys.stderr)", "["),
        ("sys.stderr.buffer.write(b'\\xff\\xfe torn'); sys.stderr.buffer.flush()", "torn"),
    ],
)
def test_any_output_ends_in_a_failure_message(launch, script, words):
    assert words in launch(script).wait(30).failed


def test_lines_that_come_in_pieces_are_put_together(launch, until):
    job = launch(
        "sys.stderr.write('{\"done\": 1, \"tot'); sys.stderr.flush(); print('x', flush=True)\n"
        'sys.stderr.write(\'al": 2, "words": "w"}\\n\'); sys.stderr.flush(); time.sleep(600)'
    )
    until(lambda: job.poll().total == 2)


def test_cancelling_interrupts_the_whole_group(launch, until):
    job = launch(
        "import subprocess\n"
        "wait = 'import time; print(flush=True); time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', wait], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"  # before this, an interrupt may be lost while Python starts
        "say(note=str(child.pid))\ntime.sleep(600)"
    )
    until(lambda: job.poll().note)
    child = Path("/proc") / job.poll().note
    job.cancel()
    assert job.wait(30).failed == "cancelled: nothing was written"
    if Path("/proc/self").exists():
        until(lambda: not child.exists() or "Z" in (child / "stat").read_text().rpartition(")")[2][:3])


def test_a_job_that_ignores_sigint_is_terminated(launch, until):
    job = launch("signal.signal(signal.SIGINT, signal.SIG_IGN)\nsay(note='deaf')\ntime.sleep(600)")
    until(lambda: job.poll().note == "deaf")
    job.cancel()
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(0.05)
    job.cancel()
    assert job.wait(30).failed == "cancelled: nothing was written"


def test_a_job_has_its_own_session_and_outlives_its_parent(tmp_path):
    mark = tmp_path / "done"
    inner = f"import sys, pathlib; sys.stdin.read(); pathlib.Path({str(mark)!r}).write_text('x')"
    starter = (
        "import os, sys; from focus_tui.dashboard.jobs import SamplingJob\n"
        f"job = SamplingJob.launch([sys.executable, '-c', {inner!r}])\n"
        "assert os.getsid(job.pid) == job.pid\nprint(job.pid, flush=True)\nos._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, check=True, timeout=60)
    pid = int(done.stdout)
    while Path(f"/proc/{pid}").exists() and not mark.exists():
        pass
    assert mark.exists()


def test_progress_before_the_first_line():
    assert not JobProgress().ended
    assert "starting" in JobProgress().words
