"""Which trainings share one heap among their threads."""

import pytest

from focus_engine.config import heap
from focus_engine.config.heap import needs_one_heap
from focus_engine.config.templates import template_config

LARGER = {"data.map_size": 128, "data.grid": 32, "training.batch_size": 32}


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heap.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, False),
        (LARGER, True),
        (LARGER | {"training.batch_size": 4}, False),
        ({"data.grid": 128, "data.map_size": 32}, True),
    ],
)
def test_the_size_of_a_threads_tensors_decides(changes: dict[str, int], *, wanted: bool):
    assert needs_one_heap(template_config("small_flow", changes)) == wanted


def test_maps_in_files_count_as_large_until_their_size_is_known():
    config = template_config("small_flow", {})
    config = config.model_copy(update={"data": config.data.model_copy(update={"source": "files"})})
    assert needs_one_heap(config)
    assert not needs_one_heap(config, 16**2)
