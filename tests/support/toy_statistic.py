"""An example statistic, the extremes of each map. Registered by tests/test_statistic_table.py."""

# ruff: noqa: ARG001  (the protocol fixes the arguments)

from dataclasses import dataclass

import numpy as np

from focus_engine.config.scores import ScoreSpec
from focus_engine.config.statistic_spec import CurveSpec, StatisticSpec
from focus_engine.statistics.map_stack import chunks
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.significance import Estimate

SPEC = StatisticSpec(
    "extremes",
    title="toy extremes",
    short="extremes",
    module="toy_statistic",
    needs="field",
    scores=(
        ScoreSpec("shift", key="toy_shift", title="toy, shift of the extremes", heading="toy shift", unit="s"),
        ScoreSpec("lowest", key="toy_lowest", title="toy, lowest", heading="toy low", compared=True),
    ),
    curve=CurveSpec(
        "which", "real_mean", "real_std", "generated_mean", "which extreme", "value", "a unit", printed=True
    ),
)


@dataclass(frozen=True)
class ExtremesComparison(Result):
    which: np.ndarray
    real_mean: np.ndarray
    real_std: np.ndarray
    generated_mean: np.ndarray
    shift: float
    lowest: float


def bins(real, generated):
    return None


def measure(maps, bins):
    return np.concatenate([np.stack([c.min((1, 2)), c.max((1, 2))], axis=1) for _, c in chunks(maps.values)])


def compare(real, generated, design):
    lowest = Estimate(0.125, 0.01, 0.1, 0.05, 0.5)
    return ExtremesComparison(
        which=np.array([0.0, 1.0]),
        real_mean=real.mean(axis=0),
        real_std=real.std(axis=0),
        generated_mean=generated.mean(axis=0),
        shift=float(np.abs(generated.mean() / real.mean() - 1)),
        lowest=0.125,
        scores={"shift": Estimate(float(np.abs(generated.mean() / real.mean() - 1))), "lowest": lowest},
    )
