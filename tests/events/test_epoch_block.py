"""The epoch block, byte for byte, because users' scripts parse it."""

from dataclasses import replace

import pytest
from example_events import epoch

from focus_engine.events.epoch_block import epoch_block, epoch_lines

BLOCK = """\
================================================================================
Epoch 1/200 [WARMUP]
================================================================================
  Train Loss: 0.1234
  Val Loss:   0.1456
  LR:         2.00e-05
  Time:       120.5s (2.0m)
  Plateau:    0/2 bad epochs
  Early Stop: 0/10 patience
  ✓ New best model!
"""

EPOCH = epoch(1, 0.14561, num_epochs=200, phase="warmup", train_loss=0.12344, lr=2.0e-5, seconds=120.5)


def test_first_epoch_is_the_documented_block():
    assert epoch_block(EPOCH) == BLOCK


@pytest.mark.parametrize(
    ("change", "line", "new"),
    [
        ({"is_best": False}, "  ✓ New best model!\n", ""),
        ({"phase": "training", "epoch": 6}, "Epoch 1/200 [WARMUP]", "Epoch 6/200 [TRAINING]"),
        ({"bad_epochs": 2}, "0/2 bad epochs", "2/2 bad epochs"),
        ({"plateau_patience": None}, "0/2 bad epochs", "off"),
        ({"early_stop_count": 10}, "0/10 patience", "10/10 patience"),
        ({"early_stop_patience": None}, "0/10 patience", "off"),
        ({"train_loss": None}, "0.1234", "nan"),
        ({"val_loss": float("nan")}, "0.1456", "nan"),
        ({"seconds": 0.04}, "120.5s (2.0m)", "0.0s (0.0m)"),
        ({"lr": 1.0e-4}, "2.00e-05", "1.00e-04"),
    ],
)
def test_each_line_says_what_it_should(change, line, new):
    assert epoch_block(replace(EPOCH, **change)) == BLOCK.replace(line, new)


def test_each_line_says_what_it_is():
    kinds = [kind for _, kind in epoch_lines(replace(EPOCH, is_best=True))]
    assert kinds == ["rule", "title", "rule", *["value"] * 6, "best"]
    assert [kind for _, kind in epoch_lines(replace(EPOCH, is_best=False))] == kinds[:-1]
