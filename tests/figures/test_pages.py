import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
from example_events import spectrum

from focus_engine.figures.pages import draw_evaluation, draw_power_spectrum, draw_samples, draw_training_history
from focus_engine.statistics.compare import evaluate_maps

IDS = np.repeat(np.arange(4), 3)
NAMES = ["Omega_m", "sigma_8", "A_SN1"]


def lognormal(seed, n=12, side=16):
    return 1e11 * np.exp(0.5 * np.random.default_rng(seed).normal(size=(n, side, side)))


def history(n, **changes):
    return [
        SimpleNamespace(
            **{
                "epoch": e,
                "phase": "warmup" if e <= 2 else "training",
                "train_loss": 1 / e,
                "val_loss": 1.1 / e,
                "lr": 1e-4,
                "lr_cut": e == 4,
                "is_best": True,
            }
            | changes
        )
        for e in range(1, n + 1)
    ]


def picture(path):
    """Return the pixels of a figure, after checking that it is the only file and not blank."""
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.02
    return pixels


@pytest.mark.parametrize(
    "epochs",
    [
        history(6),
        history(1),
        history(40),
        history(3, val_loss=None, is_best=False),
        history(3, train_loss=None, val_loss=None),
    ],
)
def test_training_history(tmp_path, epochs):
    draw_training_history(tmp_path / "h.png", epochs, early_stopped=True, resumed_after=[2], title="a run")
    picture(tmp_path / "h.png")


def test_a_history_before_the_first_epoch_is_drawn(tmp_path):
    draw_training_history(tmp_path / "h.png", [])
    assert (tmp_path / "h.png").stat().st_size > 0


@pytest.mark.parametrize("n", [1, 3, 8])
def test_samples(tmp_path, n):
    params = np.full((n, 3), 0.3)
    draw_samples(tmp_path / "s.png", lognormal(0, n), lognormal(1, n), params, NAMES, box_size=25.0)
    picture(tmp_path / "s.png")


def test_each_field_has_its_own_scale(tmp_path):
    maps = np.stack([lognormal(0, 2), 1e-9 * lognormal(1, 2)], axis=1)
    pages = []
    for factor in (1, 1e3):  # only the numbers beside the colour bar of its field change
        scaled = maps * np.array([1, factor])[:, None, None]
        same = {"box_size": 25.0, "units": ("U1", "U2"), "fields": ("Mcdm", "T")}
        draw_samples(tmp_path / "s.png", None, scaled, np.empty((2, 0)), [], **same)
        pages.append(picture(tmp_path / "s.png"))
    assert pages[0].shape == pages[1].shape
    assert 0 < (pages[0] != pages[1]).any(axis=-1).mean() < 0.02


def test_samples_with_zeros_channels_and_other_shapes(tmp_path):
    real = lognormal(0, 3)[:, None, :, :8]
    real[0, 0, :4] = 0
    draw_samples(tmp_path / "s.png", real, real * 0, np.empty((3, 0)), [], box_size=25.0, units="K")
    picture(tmp_path / "s.png")


def test_one_colour_scale_for_all(tmp_path):
    """A generated map a hundred times too dense must not look like the real one."""
    real = lognormal(0, 1)
    draw_samples(tmp_path / "a.png", real, real, np.empty((1, 0)), [], box_size=25.0)
    same = picture(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    draw_samples(tmp_path / "a.png", real, 100 * real, np.empty((1, 0)), [], box_size=25.0)
    dense = picture(tmp_path / "a.png")
    half = same.shape[0] // 2 - 40
    np.testing.assert_array_equal(same[:half], dense[:half])
    assert np.abs(same[half:] - dense[half:]).mean() > 0.01


def test_power_spectrum_and_evaluation(tmp_path, monkeypatch):
    real, generated = lognormal(0), lognormal(1)
    evaluation = evaluate_maps(real, generated, real_simulation_ids=IDS, box_size=25.0)
    draw_power_spectrum(tmp_path / "p.png", evaluation.power_spectrum, title="epoch 10")
    picture(tmp_path / "p.png")
    (tmp_path / "p.png").unlink()
    params = np.full((12, 3), 0.3)
    draw_evaluation(tmp_path / "e.png", evaluation, real=real, generated=generated, params=params, param_names=NAMES)
    tall = picture(tmp_path / "e.png").shape
    monkeypatch.setattr("matplotlib.figure.Figure.draw", lambda *_: None)  # drawing is half a second; its size is known
    draw_evaluation(tmp_path / "e.png", evaluation)
    assert matplotlib.image.imread(tmp_path / "e.png").shape[0] < tall[0]


def test_unknown_values_leave_gaps(tmp_path):
    """In an old event of a single map, the scatter and the errors are null."""
    event = spectrum(3, (1.0, 1.1, 0.9), value=None, error=None, null=None)
    empty = {"scatter": (None,) * 3, "generated": (90.0, None, 20.0), "ratio_error": (None,) * 3}
    event = replace(event, curves=(replace(event.curves[0], **empty),))
    draw_power_spectrum(tmp_path / "p.png", event.power)
    picture(tmp_path / "p.png")
    (tmp_path / "p.png").unlink()
    draw_power_spectrum(tmp_path / "p.png", spectrum(3).power, title="with its error and the perfect score")
    picture(tmp_path / "p.png")


def test_one_map_of_one_simulation(tmp_path):
    evaluation = evaluate_maps(lognormal(0, 1), lognormal(1, 1), real_simulation_ids=[0], box_size=25.0)
    draw_evaluation(tmp_path / "e.png", evaluation)
    picture(tmp_path / "e.png")


def test_a_failed_figure_leaves_the_old_one(tmp_path):
    path = tmp_path / "h.png"
    draw_training_history(path, history(3))
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        draw_training_history(path, [SimpleNamespace(epoch=1)])
    with pytest.raises(OSError, match="missing"):
        draw_training_history(tmp_path / "missing" / "h.png", history(3))
    assert path.read_bytes() == before
    picture(path)


def test_no_global_state():
    code = "import sys, focus_engine.figures.pages; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
