"""`focus export`: what other tools read is what the log says."""

import csv
import struct

import pytest
from dashboard import epoch, samples, spectrum, started, worker

from focus_engine.events import StepProgress
from focus_engine.runs.event_log import append_event
from focus_engine.runs.folder import RunFolder
from focus_tui.__main__ import run as run_focus


def step(batch: int) -> StepProgress:
    return StepProgress(
        epoch=1,
        batch=batch,
        n_batches=10,
        step=batch,
        train_loss=0.5,
        lr=1e-4,
        grad_norm=None,
        maps_per_second=1.0,
        data_wait=0.0,
        eta_epoch=None,
        device_memory=None,
    )


@pytest.fixture
def alpha(tmp_path):
    run = RunFolder(tmp_path / "runs" / "alpha")
    run.make_folders()
    run.config.write_text("method: diffusion\n")
    lost = [epoch(3, 99.0)]
    events = [worker(), started(), step(3), step(9), epoch(1, 0.5), epoch(2, 0.25), *lost, worker(), started(after=2)]
    for event in [*events, epoch(3, 0.125), spectrum(3, (1.0, 1.1, 0.9, 1.05, 1.0)), samples(3)]:
        append_event(run.events, event)
    return run


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables_hold_the_epochs_that_count(alpha, tmp_path, capsys):
    assert run_focus(["export", str(alpha.path), "--csv", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / f"alpha_{name}.csv") for name in ("epochs", "power", "steps")
    ]
    epochs = rows(tmp_path / "alpha_epochs.csv")
    assert [(row["epoch"], float(row["val_loss"])) for row in epochs] == [("1", 0.5), ("2", 0.25), ("3", 0.125)]
    assert epochs[0]["pk_error"] == ""
    power = rows(tmp_path / "alpha_power.csv")
    assert [float(row["ratio"]) for row in power] == [1.0, 1.1, 0.9, 1.05, 1.0]
    assert [float(row["epoch"]) for row in rows(tmp_path / "alpha_steps.csv")] == [0.3, 0.9]


def test_nothing_is_replaced_unasked(alpha, tmp_path, capsys):
    (tmp_path / "alpha_power.csv").write_text("mine")
    assert run_focus(["export", str(alpha.path), "--csv", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not (tmp_path / "alpha_epochs.csv").exists()  # refused before anything was written
    assert run_focus(["export", str(alpha.path), "--csv", str(tmp_path), "--force"]) == 0


def test_tensorboard_reads_the_same_numbers(alpha, tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    assert run_focus(["export", str(alpha.path), "--tensorboard", str(tmp_path / "tb")]) == 0
    (file,) = (tmp_path / "tb").glob("events.out.tfevents.*")
    data, found, pictures = file.read_bytes(), {}, 0
    while data:  # a record: length, its checksum, the bytes, their checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            pictures += value.HasField("image")
            if value.HasField("simple_value"):
                found[value.tag, event.step] = (value.simple_value, event.wall_time)
        data = data[16 + length :]
    assert found["loss/val", 20] == (0.25, pytest.approx(epoch(2).time))
    assert found["loss/val", 30][0] == 0.125
    assert found["power_spectrum/error", 30][0] == pytest.approx(0.1)
    assert pictures == 1
    assert run_focus(["export", str(alpha.path), "--tensorboard", str(tmp_path / "tb")]) == 2


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_figures_are_of_their_format(alpha, tmp_path, suffix, magic):
    assert run_focus(["export", str(alpha.path), "--figure", "all", "--format", suffix, "-o", str(tmp_path)]) == 0
    for what in ("loss", "lr", "power", "maps"):
        assert (tmp_path / f"alpha_{what}.{suffix}").read_bytes().startswith(magic)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to write"),
        (["--figure", "banana"], "allowed: loss, lr, power, maps, all"),
        (["--figure", "loss", "--format", "gif"], "allowed: png, pdf, svg"),
        (["--csv", "/nowhere/at/all"], "no such folder"),
    ],
)
def test_wrong_wishes_are_refused_in_one_line(alpha, arguments, words, capsys):
    assert run_focus(["export", str(alpha.path), *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_a_run_without_epochs_or_samples_says_so(tmp_path, capsys):
    run = RunFolder(tmp_path / "beta")
    run.make_folders()
    run.config.write_text("method: diffusion\n")
    assert run_focus(["export", str(run.path), "--csv", str(tmp_path)]) == 2
    assert "no epoch yet" in capsys.readouterr().err
    for event in (worker(), started(), epoch(1)):
        append_event(run.events, event)
    assert run_focus(["export", str(run.path), "--figure", "power", "-o", str(tmp_path)]) == 2
    assert "no samples yet" in capsys.readouterr().err
