import subprocess
import sys

import numpy as np
import pytest
from power_reference import LAW, SEEDS, SIDES, law_map, read_reference

from focus_engine.errors import InputError
from focus_engine.statistics.power import field_power_spectrum, power_spectrum

BOX = 25.0


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def lognormal(rng, *shape):
    return np.exp(rng.normal(size=shape))


@pytest.mark.parametrize("row", read_reference()["maps"], ids=lambda row: f"{row['side']}-{row['seed']}")
def test_agrees_with_the_numbers_of_pylians(row):
    ours = power_spectrum(law_map(row["side"], row["seed"]), read_reference()["box_size"])
    np.testing.assert_allclose(ours.k, row["k"], rtol=1e-6)
    np.testing.assert_allclose(ours.power[0], row["power"], rtol=1e-5)
    np.testing.assert_array_equal(ours.modes, row["modes"])


def test_the_reference_names_its_source_and_holds_every_map():
    reference = read_reference()
    for word in ("library", "version", "function", "arguments", "date"):
        assert reference[word]
    assert reference["map_law"] == LAW
    assert [(row["side"], row["seed"]) for row in reference["maps"]] == [(n, seed) for n in SIDES for seed in SEEDS]


def test_white_noise_is_flat_to_nyquist(rng):
    s, side = 0.1, 64
    spectrum = power_spectrum(1 + s * rng.normal(size=(200, side, side)), BOX)
    expected = s**2 * BOX**2 / side**2
    inside = spectrum.below(1.0)
    error = spectrum.std[inside] / np.sqrt(200)
    pull = (spectrum.mean[inside] - expected) / error
    assert np.abs(pull).max() < 4
    assert abs(pull.mean()) < 0.5


def test_numbers_of_the_camels_box(rng):
    spectrum = power_spectrum(lognormal(rng, 256, 256), BOX)
    assert spectrum.k_edges[0] == pytest.approx(0.2513, abs=1e-4)
    assert spectrum.k[0] == pytest.approx(0.3034, abs=1e-4)
    assert spectrum.k_nyquist == pytest.approx(32.17, abs=0.01)
    assert spectrum.box_size == BOX
    assert len(spectrum.k_edges) == len(spectrum.k) + 1
    assert np.all((spectrum.k >= spectrum.k_edges[:-1]) & (spectrum.k < spectrum.k_edges[1:]))


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (12, 20), (9, 14), (30, 7), (1, 16)])
def test_every_conjugate_pair_counts_once(rng, shape):
    """Counted one by one, a mode is either its own conjugate or one of a pair."""
    height, width = shape
    rows = np.fft.fftfreq(height, 1 / max(shape))[:, None]
    n = np.hypot(rows, np.fft.fftfreq(width, 1 / max(shape)))
    mirrored = n[-np.arange(height)][:, -np.arange(width)]
    np.testing.assert_allclose(mirrored, n)
    own_mirror = (2 * np.arange(height) % height == 0)[:, None] & (2 * np.arange(width) % width == 0)
    weight = np.where(own_mirror, 1.0, 0.5)
    expected = np.bincount(np.floor(n + 1e-9).astype(int).ravel(), weights=weight.ravel())[1:]
    np.testing.assert_array_equal(power_spectrum(lognormal(rng, *shape), BOX).modes, expected)


def test_one_wave_lands_in_its_bin_with_its_power():
    side, n, amplitude = 32, 5, 0.2
    x = np.arange(side) / side
    wave = 1 + amplitude * np.cos(2 * np.pi * n * x)[None, :] * np.ones((side, 1))
    spectrum = power_spectrum(wave, BOX)
    assert np.argmax(spectrum.power[0]) == n - 1
    # A cosine holds a²/4 of variance in each of its two modes; the bin averages one of the pair.
    assert spectrum.power[0, n - 1] * spectrum.modes[n - 1] == pytest.approx(amplitude**2 / 4 * BOX**2)
    np.testing.assert_allclose(np.delete(spectrum.power[0], n - 1), 0, atol=1e-20)


def test_rectangular_maps_with_square_pixels(rng):
    """A map repeated along an axis keeps its variance and its Nyquist wavenumber, whichever axis is long."""
    one = lognormal(rng, 16, 16)
    wide = power_spectrum(np.concatenate([one, one], axis=1), 2 * BOX)
    tall = power_spectrum(np.concatenate([one.T, one.T]), BOX)
    square = power_spectrum(one, BOX)
    assert wide.k_nyquist == pytest.approx(square.k_nyquist)
    assert tall.k_nyquist == pytest.approx(square.k_nyquist)
    np.testing.assert_allclose(wide.k, tall.k)
    np.testing.assert_allclose(wide.power, tall.power, rtol=1e-9)
    variance = (one / one.mean()).var()
    for spectrum, area in ((wide, 2 * BOX**2), (tall, 2 * BOX**2), (square, BOX**2)):
        doubled = 2 * (spectrum.power[0] * spectrum.modes).sum() / area
        assert doubled == pytest.approx(variance, rel=0.1)  # the self-conjugate modes count once, not twice


def test_rotations_flips_and_shifts_change_nothing(rng):
    one = lognormal(rng, 24, 24)
    variants = np.stack([one, np.rot90(one), one[::-1], np.roll(one, (3, 7), (0, 1)), one.T, one * 1e11])
    spectrum = power_spectrum(variants, BOX)
    np.testing.assert_allclose(spectrum.power, np.broadcast_to(spectrum.power[0], spectrum.power.shape), rtol=1e-9)


def test_axes_have_the_power_of_diagonals(rng):
    """P(k) of an isotropic field from waves along the axes agrees with that from waves along the diagonals."""
    side, n_maps = 64, 400
    frequency = np.fft.fftfreq(side, 1 / side)
    n = np.hypot(frequency[:, None], frequency)
    angle = np.abs(np.arctan2(frequency[:, None], frequency)) % (np.pi / 2)
    near_axis = np.minimum(angle, np.pi / 2 - angle) < np.pi / 8
    waves = np.fft.fft2(rng.normal(size=(n_maps, side, side))) * np.where(n > 0, np.maximum(n, 1) ** -1.0, 0)
    axes, diagonals = (np.fft.ifft2(waves * part).real for part in (near_axis, ~near_axis))
    amplitude = 0.5 / max(np.abs(axes).max(), np.abs(diagonals).max())
    bins = slice(8, 30)
    measured = []
    for field, part in ((axes, near_axis), (diagonals, ~near_axis)):
        share = np.array([part[(n >= i) & (n < i + 1)].mean() for i in range(9, 31)])
        measured.append(power_spectrum(1 + amplitude * field, BOX).mean[bins] / share)
    np.testing.assert_allclose(measured[0], measured[1], rtol=0.1)
    assert np.mean(measured[0] / measured[1]) == pytest.approx(1, abs=0.02)


def test_chunks_do_not_show(rng, monkeypatch):
    maps = lognormal(rng, 7, 16, 16).astype(np.float32)
    whole = power_spectrum(maps, BOX)
    monkeypatch.setattr("focus_engine.statistics.map_stack._CHUNK_PIXELS", 512)
    np.testing.assert_array_equal(power_spectrum(maps, BOX).power, whole.power)


def test_input_is_left_alone_and_may_be_read_only(rng):
    maps = lognormal(rng, 2, 8, 8)
    before = maps.copy()
    maps.flags.writeable = False
    power_spectrum(maps, BOX)
    np.testing.assert_array_equal(maps, before)


def test_scatter_of_one_map_is_unknown(rng):
    spectrum = power_spectrum(lognormal(rng, 8, 8), BOX)
    assert spectrum.n_maps == 1
    assert np.isnan(spectrum.std).all()
    np.testing.assert_array_equal(spectrum.mean, spectrum.power[0])


def test_single_channel_is_a_map(rng):
    maps = lognormal(rng, 3, 1, 8, 8)
    np.testing.assert_array_equal(power_spectrum(maps, BOX).power, power_spectrum(maps[:, 0], BOX).power)


@pytest.mark.parametrize(
    ("pixel", "words"),
    [(np.nan, "map 2 holds 1 NaN"), (np.inf, "map 2 holds 1 NaN"), (-1.0, "map 2 holds 1 negative")],
)
def test_unphysical_maps_are_refused(rng, pixel, words):
    maps = lognormal(rng, 4, 8, 8)
    maps[2, 3, 3] = pixel
    with pytest.raises(InputError, match=words):
        power_spectrum(maps, BOX)


def test_a_log_field_is_refused_and_has_its_own_name(rng):
    log_maps = rng.normal(size=(2, 8, 8))
    with pytest.raises(InputError, match="logarithm"):
        power_spectrum(log_maps, BOX)
    spectrum = field_power_spectrum(log_maps, BOX)
    assert spectrum.label == "log field"
    shifted = field_power_spectrum(log_maps + 11, BOX)
    np.testing.assert_allclose(shifted.power, spectrum.power, rtol=1e-9)
    with pytest.raises(InputError, match="can't be labelled"):
        field_power_spectrum(log_maps, BOX, label="density contrast")
    with pytest.raises(InputError, match="log field 1 holds NaN"):
        field_power_spectrum(np.stack([log_maps[0], log_maps[0] * np.nan]), BOX)


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (np.zeros((2, 8, 8)), "mean of 0"),
        (np.ones((0, 8, 8)), "shape"),
        (np.ones(8), "shape"),
        (np.ones((1, 1)), "shape"),
        (np.ones((2, 3, 8, 8)), "3 channels"),
        (np.ones((8, 8), dtype=complex), "complex"),
        (np.full((8, 8), "a"), "dtype"),
    ],
)
def test_what_is_no_map_is_refused(maps, words):
    with pytest.raises(InputError, match=words):
        power_spectrum(maps, BOX)


@pytest.mark.parametrize("box_size", [0.0, -25.0, np.nan, np.inf])
def test_a_box_has_a_size(box_size):
    with pytest.raises(InputError, match="box_size"):
        power_spectrum(np.ones((8, 8)), box_size)


def test_needs_numpy_alone():
    code = (
        "import sys, focus_engine.statistics.power, focus_engine.statistics.maps_file;"
        "sys.exit(str({'torch', 'scipy', 'matplotlib', 'pydantic'} & set(sys.modules) or '') or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
