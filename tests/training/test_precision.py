"""bf16 trains like float32, within the change from another noise seed; which of the two a run has."""

from dataclasses import replace

import pytest
import torch

from focus_engine.config.schema import Config
from focus_engine.errors import InputError
from focus_engine.gpus import Gpu
from focus_engine.training import devices
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.devices import choose_precision, freest, precision_context
from focus_engine.training.prepare import precision_of_run

CPU = torch.device("cpu")


def test_bf16_is_as_good_as_float32_within_noise(bench):
    judge = bench(seed=0).training.validation

    def loss_after_training(precision: str, seed: int) -> float:
        made = bench(seed=seed, num_epochs=8)
        context = precision_context(precision, torch.device("cpu"))
        made = replace(made, training=replace(made.training, precision=context))
        epochs, _ = made.run()
        assert epochs[-1].val_loss < epochs[0].val_loss
        return judge.losses(made.state.ema.module)[0]

    seeds = [loss_after_training("float32", seed) for seed in range(5)]
    rounded = loss_after_training("bf16", 0)
    assert rounded != seeds[0]
    assert abs(rounded - seeds[0]) < (max(seeds) - min(seeds)) / 2


@pytest.mark.parametrize("units", [True, False])
def test_auto_is_bf16_where_the_cpu_multiplies_it(monkeypatch: pytest.MonkeyPatch, units: bool):
    monkeypatch.setattr(devices, "_cpu_multiplies_bf16", lambda: units)
    assert choose_precision("auto", CPU) == ("bf16" if units else "float32")
    assert choose_precision("float32", CPU) == "float32"
    assert choose_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(
    ("wanted", "before", "device", "precision"),
    [
        ("auto", "float32", "cpu", "float32"),  # as it began, although this CPU would choose bf16 today
        ("auto", "float32", "cuda:0", "bf16"),  # another kind of device chooses for itself
        ("bf16", "float32", "cpu", "bf16"),
        ("float32", "bf16", "cpu", "float32"),
    ],
)
def test_a_run_goes_on_in_the_precision_in_which_it_began(
    monkeypatch: pytest.MonkeyPatch, wanted: str, before: str, device: str, precision: str
):
    monkeypatch.setattr(devices, "_cpu_multiplies_bf16", lambda: True)
    config = Config.model_validate({"training": {"precision": wanted}})
    saved = Checkpoint({}, {}, {}, {}, {}, {"precision": before, "device": device})
    assert precision_of_run(config, CPU, saved) == precision


def test_auto_takes_the_gpu_with_most_free_memory_and_none_that_others_fill(monkeypatch: pytest.MonkeyPatch):
    assert freest([(20, 80), (70, 80), (4, 8)]) == 1
    assert freest([(8, 80)]) == 0
    both = (Gpu("cuda:0", "a", 1, ("anna", "ben")), Gpu("cuda:1", "b", 1))
    monkeypatch.setattr(devices, "visible_gpus", lambda: both)
    filled = r"cuda:0: 7\.9 of 80\.0 GB free, used by anna, ben; cuda:1: 1\.0 of 80\.0 GB free\); .*device: cuda:0\)"
    with pytest.raises(InputError, match=filled):
        freest([(int(7.9e9), int(80e9)), (int(1e9), int(80e9))])
