import numpy as np
import pytest
from gaussian_maps import gaussian_maps

from focus_engine.errors import InputError
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.nearest import nearest_maps, training_index

BOX = 25.0


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def densities(rng, n_maps, side=32, scale=6):
    return 10 ** (11 + 0.5 * gaussian_maps(rng, n_maps, side, scale).values)


def moved(rng, field):
    """Return a map after a random rotation, flip and shift, made without the code under test."""
    turned = np.rot90(field, int(rng.integers(4)))
    turned = np.fliplr(turned) if rng.random() < 0.5 else turned
    return np.roll(turned, tuple(rng.integers(len(field), size=2)), axis=(0, 1))


def nearest(fields, training, **options):
    return nearest_maps(MapStack(fields, BOX, what="generated map"), training_index(MapStack(training, BOX)), **options)


def test_a_copy_turned_flipped_and_rolled_has_distance_zero(rng):
    training = densities(rng, 60)
    rows = rng.integers(60, size=16)
    found = nearest(np.array([moved(rng, training[row]) for row in rows]), training)
    np.testing.assert_array_equal(found.index, rows)
    np.testing.assert_allclose(found.distance, 0, atol=1e-9)
    assert nearest(densities(rng, 16), training).distance.min() > 0.05


def test_invariants_are_those_of_every_copy(rng):
    field = densities(rng, 1)[0]
    copies = np.array([field] + [moved(rng, field) for _ in range(8)])
    logs = np.log10(copies)
    copies[-1] = 10 ** (11 + 0.8 * (logs[-1] - 11))
    index = training_index(MapStack(np.concatenate([copies, densities(rng, 5)]), BOX))
    found = index.invariants[:9]
    np.testing.assert_allclose(found, found[:1].repeat(9, axis=0), rtol=1e-9)
    assert np.abs(index.invariants[9:] - found[0]).max(axis=1).min() > 0.1


def brute_force(field, training):
    """Return the distances of a map to all training maps, each symmetry and shift tried in pixels."""
    side = len(field)
    turns = [np.rot90(one, quarter) for one in (field, np.fliplr(field)) for quarter in range(4)]
    shifts = [np.roll(one, (row, column), (0, 1)) for one in turns for row in range(side) for column in range(side)]
    both = np.log10(np.concatenate([shifts, training])).reshape(-1, side**2)
    both = (both - both.mean(axis=1, keepdims=True)) / (both.std(axis=1, keepdims=True) * side)
    return 1 - (both[: len(shifts)] @ both[len(shifts) :].T).max(axis=0)


def test_brute_force_agrees(rng):
    training, fields = densities(rng, 7, side=16, scale=4), densities(rng, 4, side=16, scale=4)
    found = nearest(fields, training, candidates=7)
    expected = np.array([brute_force(field, training) for field in fields])
    np.testing.assert_allclose(found.distance, expected.min(axis=1), atol=1e-5)
    np.testing.assert_array_equal(found.index, expected.argmin(axis=1))


def test_near_copies_of_larger_maps_are_found_among_a_few_candidates(rng):
    training = densities(rng, 400, side=24)
    rows = rng.integers(400, size=12)
    logs = np.log10([moved(rng, training[row]) for row in rows])
    noisy = 11 + 0.9 * (logs - 11) + 0.15 * rng.normal(size=logs.shape)
    padded = np.pad(logs, ((0, 0), (1, 1), (1, 1)), mode="wrap")
    smooth = sum(padded[:, i : i + 24, j : j + 24] for i in range(3) for j in range(3)) / 9
    for near in (noisy, smooth):
        found = nearest(10**near, training, candidates=4)
        np.testing.assert_array_equal(found.index, rows)
        distances = [
            brute_force(field, training[[row]])[0] for field, row in zip(10 ** near[:2], rows[:2], strict=True)
        ]
        np.testing.assert_allclose(found.distance[:2], distances, atol=1e-5)


def test_maps_with_zeros_or_without_structure(rng):
    training = densities(rng, 9)
    training[0, :5] = 0
    fields = np.stack([moved(rng, training[0]), np.full((32, 32), 5.0)])
    found = nearest(fields, training)
    assert found.index[0] == 0
    np.testing.assert_allclose(found.distance, [0, 1], atol=1e-9)


def test_rectangles_have_four_symmetries(rng):
    training = densities(rng, 6)[:, :20]
    fields = np.array([np.roll(one[::-1, ::-1], (3, 11), axis=(0, 1)) for one in training])
    found = nearest(fields, training, candidates=3)
    np.testing.assert_array_equal(found.index, np.arange(6))
    np.testing.assert_allclose(found.distance, 0, atol=1e-9)


def test_training_maps_of_another_size_are_refused(rng):
    with pytest.raises(InputError, match="generated maps have 16 × 16 pixels, training maps 32 × 32"):
        nearest(densities(rng, 2, side=16), densities(rng, 2))


def test_a_memory_map_is_read_in_chunks(rng, tmp_path):
    training = densities(rng, 40).astype(np.float32)
    np.save(tmp_path / "training.npy", training)
    mapped = np.load(tmp_path / "training.npy", mmap_mode="r")
    fields = densities(rng, 5).astype(np.float32)
    np.testing.assert_array_equal(nearest(fields, mapped).distance, nearest(fields, training).distance)
