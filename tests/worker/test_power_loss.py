"""What a power cut may leave of a run: nothing lies, nothing reported is lost, and it goes on bit for bit.

`make nightly` opens some thousands of states (`scripts/power_loss.py`); these are some dozens.
"""

from pathlib import Path

import pytest
from disk_states import KINDS, Cut, Disk
from file_calls import FileCalls, Op
from power_cuts import campaign
from power_loss import Recording, after_the_reboot, build, judge

pytestmark = pytest.mark.xdist_group("power")  # they share the recording


def test_every_state_is_true_and_goes_on_bit_for_bit(recording: Recording, tmp_path: Path):
    report = campaign(recording, tmp_path / "state", states=60, resumes=2, seed=3)
    assert sum(report.states.values()) == 60
    assert report.resumed == 2
    assert report.harm == 0, report.examples


@pytest.mark.parametrize(
    "unsynced", ["events.jsonl", "config.yaml", ".checkpoint_last.pt", ".checkpoint_best.pt", "logs"]
)
def test_a_sync_that_is_missing_is_found(recording: Recording, tmp_path: Path, monkeypatch, unsynced: str):
    serials = {op.serial for op in recording.disk.ops if op.kind in {"enter", "move"} and op.name.startswith(unsynced)}
    lazy = [Op("sync", -2) if op.kind == "sync" and op.serial in serials else op for op in recording.disk.ops]
    monkeypatch.setattr(recording, "disk", Disk(lazy, recording.disk.folders))
    found = (harm_after(recording, Cut(at, kind, "least"), tmp_path) for at in recording.saved for kind in KINDS)
    with after_the_reboot():
        assert any(found)


def harm_after(recording: Recording, cut: Cut, folder: Path) -> list[str]:
    return judge(recording, build(recording.disk.after(cut), folder / "state"), cut.at).harm


def test_what_a_disk_may_keep_of_a_file(tmp_path: Path):
    calls = FileCalls(tmp_path)
    with calls.installed():
        (tmp_path / "log").write_bytes(b"a" * 10)
        (tmp_path / "draft").write_bytes(b"b" * 10)
        (tmp_path / "draft").rename(tmp_path / "log")
    disk = Disk(calls.ops, calls.folders)
    end = len(calls.ops)
    found = {
        kind: {str(disk.after(Cut(end, kind, "random", seed))) for seed in range(300)}
        for kind in ("ext4", "nfs", "any")
    }
    empty, renamed, torn = {}, {"log": b"b" * 10}, {"log": b"b" * 4}
    assert disk.after(Cut(end, "ext4", "most")) == renamed
    assert disk.after(Cut(end, "ext4", "least")) == empty
    assert disk.after(Cut(end, "nfs", "least")) == {"log": b""}
    assert {str(torn), str({"log": bytes(10)})} & found["ext4"] == {str(torn)}
    assert {str(torn), str({"log": bytes(10)})} <= found["nfs"]
    assert str(empty) not in found["nfs"]
    assert str({"draft": b"b" * 10}) in found["any"] | found["ext4"]
