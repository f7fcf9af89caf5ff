import numpy as np
import pytest
import torch

from focus_engine.data.randomness import keyed_generator
from focus_engine.data.symmetries import Augmentation, Symmetries, apply_symmetries, draw_symmetries
from focus_engine.statistics.power import power_spectrum

ALL = Augmentation()


def augment(maps: torch.Tensor, augmentation: Augmentation, *key: int) -> torch.Tensor:
    generator = keyed_generator("test", *key)
    return apply_symmetries(maps, draw_symmetries(len(maps), *maps.shape[-2:], augmentation, generator))


def random_maps(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=keyed_generator("maps"), dtype=torch.float64)


def dihedral(image: np.ndarray) -> dict[bytes, int]:
    """Number the eight images of a square under the dihedral group, as an independent implementation."""
    turned = [np.rot90(image, turns) for turns in range(4)]
    return {np.ascontiguousarray(e).tobytes(): n for n, e in enumerate(turned + [np.fliplr(t) for t in turned])}


@pytest.mark.parametrize("shape", [(16, 1, 8, 8), (16, 2, 9, 9), (16, 1, 8, 12), (16, 3, 6, 5)])
def test_pixels_and_power_stay(shape: tuple[int, ...]):
    maps = random_maps(*shape)
    turned = augment(maps, ALL)
    assert turned.shape == maps.shape
    assert not torch.equal(turned, maps)
    assert torch.equal(turned.flatten(2).sort(dim=2).values, maps.flatten(2).sort(dim=2).values)
    before, after = (power_spectrum(stack[:, 0].numpy(), 25.0).power for stack in (maps, turned))
    assert np.allclose(after, before, rtol=1e-9)


@pytest.mark.parametrize(
    ("augmentation", "reached"),
    [
        (Augmentation(shift=False), set(range(8))),
        (Augmentation(flip_p=0, shift=False), {0, 1, 2, 3}),
        (Augmentation(rotation_p=0, shift=False), {0, 4}),
        (Augmentation(flip_p=1, shift=False), {4, 5, 6, 7}),
    ],
)
def test_each_element_of_the_square_is_reached_equally_often(augmentation: Augmentation | None, reached: set[int]):
    image = random_maps(5, 5)
    number = dihedral(image.numpy())
    turned = augment(image.expand(4000, 1, 5, 5), augmentation)
    counts = np.bincount([number[element.numpy().tobytes()] for element in turned[:, 0]], minlength=8)
    assert set(np.flatnonzero(counts).tolist()) == reached
    expected = 4000 / len(reached)
    assert np.all(np.abs(counts[sorted(reached)] - expected) < 5 * np.sqrt(expected))


def test_maps_that_are_not_square_keep_their_sides():
    image = random_maps(4, 6).numpy()
    turned = augment(torch.from_numpy(image).expand(2000, 1, 4, 6), Augmentation(shift=False))[:, 0].numpy()
    expected = {e.tobytes() for e in map(np.ascontiguousarray, (image, image[::-1], image[:, ::-1], image[::-1, ::-1]))}
    assert {element.tobytes() for element in turned} == expected
    unflipped = augment(torch.from_numpy(image).expand(200, 1, 4, 6), Augmentation(flip_p=0, shift=False))[:, 0]
    assert {e.tobytes() for e in unflipped.numpy()} == {
        image.tobytes(),
        np.ascontiguousarray(image[::-1, ::-1]).tobytes(),
    }


def test_shifts_are_rolls_and_reach_every_pixel():
    image = random_maps(3, 4)
    rolls = {torch.roll(image, (i, j), (0, 1)).numpy().tobytes() for i in range(3) for j in range(4)}
    shifted = augment(image.expand(1000, 1, 3, 4), Augmentation(rotation_p=0, flip_p=0))[:, 0]
    assert {element.numpy().tobytes() for element in shifted} == rolls


@pytest.mark.parametrize("side", [7, 8])
def test_one_gather_equals_the_steps_one_by_one(side: int):
    maps = random_maps(64, 2, side, side)
    drawn = draw_symmetries(64, side, side, ALL, keyed_generator("steps"))
    for index, image in enumerate(maps):
        expected = image.transpose(1, 2) if drawn.transpose[index] else image
        expected = expected.flip([axis + 1 for axis in (0, 1) if drawn.mirror[index, axis]])
        expected = torch.roll(expected, tuple(drawn.shift[index].tolist()), (1, 2))
        one = Symmetries(drawn.transpose[index, None], drawn.mirror[index, None], drawn.shift[index, None])
        assert torch.equal(apply_symmetries(image[None], one)[0], expected)
        assert torch.equal(apply_symmetries(maps, drawn)[index], expected)


def test_probability_zero_is_the_identity():
    maps = random_maps(8, 1, 6, 6)
    assert torch.equal(augment(maps, Augmentation(rotation_p=0, flip_p=0, shift=False)), maps)


def test_the_generator_decides_and_the_input_is_untouched():
    maps = random_maps(8, 1, 6, 6)
    kept = maps.clone()
    assert torch.equal(augment(maps, ALL, 1), augment(maps, ALL, 1))
    assert not torch.equal(augment(maps, ALL, 1), augment(maps, ALL, 2))
    assert torch.equal(maps, kept)
