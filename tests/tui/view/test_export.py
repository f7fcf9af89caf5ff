"""`focus export`: other tools read the same numbers as the log holds."""

import base64
import csv
import math
import struct

import numpy as np
import pytest
from example_events import epoch, samples, spectrum, started, step, worker

from focus_engine.errors import FocusError
from focus_engine.events.log import append_event
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard import export
from focus_tui.view.export import SCALARS, pair_picture, write_csv

pytestmark = pytest.mark.figures


@pytest.fixture
def alpha(tmp_path):
    run = RunFolder(tmp_path / "runs" / "alpha")
    run.make_folders()
    run.config.write_text("method: diffusion\n")
    lost = [epoch(3, 99.0)]
    events = [
        worker(),
        started(),
        step(1, 3),
        step(1, 9),
        epoch(1, 0.5),
        epoch(2, 0.25),
        *lost,
        worker(),
        started(after=2),
    ]
    for event in [*events, epoch(3, 0.125), spectrum(3, (1.0, 1.1, 0.9, 1.05, 1.0)), samples(3)]:
        append_event(run.events, event)
    return run


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def records(path):
    """Yield TFRecords, read without the library that wrote them: length, its checksum, data, their checksum."""
    from tensorboardX.proto.event_pb2 import Event  # loads torch

    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert len(data) >= 16 + length
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_tables_leave_superseded_epochs_out(alpha, focus, tmp_path):
    code, out, err = focus("export", alpha.path, "--csv", "new/tables")
    assert (code, err) == (0, "")
    assert out.split() == [f"new/tables/alpha_{name}.csv" for name in ("epochs", "power", "steps")]
    tables = tmp_path / "new" / "tables"
    epochs = rows(tables / "alpha_epochs.csv")
    assert [(row["epoch"], float(row["val_loss"])) for row in epochs] == [("1", 0.5), ("2", 0.25), ("3", 0.125)]
    assert epochs[0]["pk_error"] == ""
    assert (epochs[0]["is_best"], epochs[0]["lr_cut"], epochs[0]["phase"]) == ("1", "0", "training")
    power = rows(tables / "alpha_power.csv")
    assert [float(row["ratio"]) for row in power] == [1.0, 1.1, 0.9, 1.05, 1.0]
    steps = rows(tables / "alpha_steps.csv")
    assert [float(row["epoch"]) for row in steps] == [0.3, 0.9]
    assert [row["grad_norm"] for row in steps] == ["", ""]


def test_a_number_reads_back_as_the_same_number(tmp_path):
    numbers = [0.1, 1 / 3, 1e-300, -2.5e17, float(np.nextafter(1, 2))]
    write_csv(tmp_path / "a.csv", ["x", "y"], [[number, None] for number in [*numbers, math.nan, 7, True]])
    read = rows(tmp_path / "a.csv")
    assert [float(row["x"]) for row in read[:5]] == numbers
    assert [row["x"] for row in read[5:]] == ["", "7", "1"]
    assert {row["y"] for row in read} == {""}


def test_files_are_overwritten_with_force_only(alpha, focus, tmp_path):
    (tmp_path / "alpha_power.csv").write_text("mine")
    code, out, err = focus("export", alpha.path, "--csv", ".", "--figure", "loss")
    assert (code, out) == (2, "")
    assert "alpha_power.csv exists already: --force" in err
    assert not (tmp_path / "alpha_epochs.csv").exists()  # refused before anything was written
    assert (tmp_path / "alpha_power.csv").read_text() == "mine"
    assert focus("export", alpha.path, "--csv", ".", "--force")[0] == 0
    assert (tmp_path / "alpha_power.csv").read_text() != "mine"


def test_tensorboard_reads_the_numbers_of_the_log(alpha, focus, tmp_path):
    code, out, _ = focus("export", alpha.path, "--tensorboard", "tb")
    assert code == 0
    first, *others = records(tmp_path / out.strip())
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in others] == sorted(event.step for event in others)
    found = {(value.tag, event.step): (value, event.wall_time) for event in others for value in event.summary.value}
    for one in (epoch(1, 0.5), epoch(2, 0.25), epoch(3, 0.125)):
        for tag, name in SCALARS:
            value, wall_time = found.pop((tag, one.step))
            assert value.simple_value == np.float32(getattr(one, name))
            assert wall_time == one.time
    assert found.pop(("pk_error", 30))[0].simple_value == np.float32(0.1)
    image = found.pop(("real_above_generated", 30))[0].image
    assert (image.height, image.width) == (9, 9)
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert found == {}  # nothing of the epoch that was superseded


def test_tensorboard_never_mixes_runs(alpha, focus, tmp_path):
    assert focus("export", alpha.path, "--tensorboard", "tb")[0] == 0
    code, _, err = focus("export", alpha.path, "--tensorboard", "tb")
    assert (code, "exists already" in err) == (2, True)
    assert focus("export", alpha.path, "--tensorboard", "tb", "--force")[0] == 0
    (tmp_path / "tb" / "events.out.tfevents.1.other").touch()
    code, _, err = focus("export", alpha.path, "--tensorboard", "tb", "--force")
    assert (code, "would mix" in err) == (2, True)
    assert len(list((tmp_path / "tb").iterdir())) == 2


def test_a_picture_sets_real_above_generated_on_one_scale():
    event = samples(3)
    picture = pair_picture(event)
    shades = [np.frombuffer(base64.b64decode(text), np.uint8).reshape(4, 4) for text in (*event.real, *event.generated)]
    corners = [picture[:4, :4], picture[:4, 5:], picture[5:, :4], picture[5:, 5:]]
    for drawn, shade in zip(corners, shades, strict=True):
        assert (drawn == shade).all()
    assert (picture[4] == 255).all()
    assert (picture[:, 4] == 255).all()


def test_figures_are_of_their_format_and_a_column_wide(alpha, focus, tmp_path):
    magic = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for suffix, start in magic.items():
        code, out, _ = focus("export", alpha.path, "--figure", "all", "--format", suffix, "-o", "paper")
        assert (code, out.split()) == (0, [f"paper/alpha_{what}.{suffix}" for what in ("loss", "lr", "power", "maps")])
        for path in out.split():
            assert (tmp_path / path).read_bytes().startswith(start)
    for path in (tmp_path / "paper").glob("*.png"):
        (width,) = struct.unpack(">I", path.read_bytes()[16:20])
        assert width == 3.4 * 600
    for path in (tmp_path / "paper").glob("*.pdf"):
        data = path.read_bytes()
        assert b"/MediaBox [ 0 0 244.8 " in data
        assert b"/Type3" not in data


def test_full_maps_are_drawn_where_they_are_kept(alpha, focus, tmp_path):
    def drawn(name):
        assert focus("export", alpha.path, "--figure", "maps", "-o", name)[0] == 0
        return (tmp_path / name / "alpha_maps.png").read_bytes()

    thumbnails = drawn("a")
    maps = 10 ** np.random.default_rng(0).uniform(9, 12, (4, 8, 8))
    np.savez(alpha.path / samples(3).path, real=maps, maps=maps[::-1], box_size=50.0)
    kept = drawn("b")
    assert kept != thumbnails
    (alpha.path / samples(3).path).write_bytes(b"torn")
    assert drawn("c") == thumbnails


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to export: give --csv DIR, --tensorboard DIR, --weights FILE or --figure"),
        (["--figure", "banana"], "allowed: loss, lr, power, maps, all"),
        (["--figure", "loss", "--format", "gif"], "allowed: png, pdf, svg"),
        (["--csv", "d", "--format", "png"], "--format is about figures"),
        (["--csv", "d", "-o", "d"], "-o is about figures"),
        (["--csv", "file"], "file is a file: name a folder"),
        (["--figure", "loss", "-o", "taken"], "is a folder"),
    ],
)
def test_wrong_options_are_refused_in_one_line(alpha, focus, tmp_path, arguments, words):
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "alpha_loss.png").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = focus("export", alpha.path, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_without_epochs_or_samples_says_so(focus, tmp_path):
    run = RunFolder(tmp_path / "beta")
    run.make_folders()
    run.config.write_text("method: diffusion\n")
    code, out, err = focus("export", run.path, "--csv", ".")
    assert (code, out) == (2, "")
    assert "no epoch yet" in err
    for event in (worker(), started(), epoch(1)):
        append_event(run.events, event)
    for figure, words in (("power", "no P(k) of samples yet"), ("maps", "no maps of samples yet")):
        code, out, err = focus("export", run.path, "--figure", figure)
        assert (code, out, words in err) == (2, "", True)
    code, out, err = focus("export", run.path, "--figure", "all", "--csv", ".")
    assert (code, out.split()) == (0, ["beta_epochs.csv", "beta_loss.png", "beta_lr.png"])
    assert "no P(k) of samples yet: no figure" in err


def test_the_dashboard_exports_in_a_subprocess(alpha, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export._export(alpha, ["--figure", "lr", "--format", "svg", "-o", "."]).words == "written: alpha_lr.svg"
    with pytest.raises(FocusError, match=r"^alpha_lr.svg exists already"):
        export._export(alpha, ["--figure", "lr", "--format", "svg", "-o", "."])
