"""bf16 trains like float32, within the change from another noise seed."""

from dataclasses import replace

import torch

from focus_engine.training.devices import precision_context


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
