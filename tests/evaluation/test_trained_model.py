"""Where the plan of a trained model starts sampling: as the config or the caller wants, if the checkpoint can."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from focus_engine.config.schema import Config
from focus_engine.errors import InputError
from focus_engine.evaluation.trained_model import TrainedModel
from focus_engine.generative.build import build_process
from focus_engine.generative.prior import SpectralPrior, fit_prior

ZERO = {"prediction": "v", "zero_terminal_snr": True}


@pytest.fixture(scope="module")
def prior() -> SpectralPrior:
    return fit_prior([(torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.empty(20, 0))], 20)


def model(prior: SpectralPrior | None, **blocks: Any) -> TrainedModel:
    config, none = Config.model_validate(blocks), SimpleNamespace()
    parts: dict[str, Any] = dict.fromkeys(("network", "normaliser", "scaler", "context"), none)
    return TrainedModel(
        **parts,
        process=build_process(config),
        config=config,
        data={"map_shape": [1, 8, 8]},
        device=torch.device("cpu"),
        source={},
        prior=prior,
    )


@pytest.mark.parametrize(
    ("blocks", "given", "start"),
    [
        ({}, None, "spectrum"),
        ({}, "white", "white"),
        ({"sampling": {"prior": "white"}}, None, "white"),
        ({"sampling": {"prior": "white"}}, "auto", "spectrum"),
        ({"diffusion": ZERO}, None, "white"),
        ({"diffusion": ZERO, "sampling": {"prior": "spectrum"}}, None, "spectrum"),
        ({"method": "flow"}, None, "white"),
        ({"method": "edm"}, None, "spectrum"),
        ({"method": "flow"}, "spectrum", "spectrum"),
    ],
)
def test_auto_starts_from_the_spectrum_where_the_path_leaves_signal(
    prior: SpectralPrior, blocks: dict[str, Any], given: str | None, start: str
):
    assert model(prior, **blocks).plan(prior=given).prior == start


def test_an_old_checkpoint_starts_from_noise_and_says_so_where_asked_for_more():
    assert model(None).plan().prior == "white"
    with pytest.raises(InputError, match=r"kept no spectrum of the training maps.*resume.*or use prior white"):
        model(None).plan(prior="spectrum")
    with pytest.raises(InputError, match="prior 'pink' is unknown; allowed: white, spectrum"):
        model(None).plan(prior="pink")


NOISY: dict[str, Any] = {"sampling": {"method": "ddim", "eta": 0.7, "spacing": "time", "ddim_timesteps": 20}}
CHURNED: dict[str, Any] = {"method": "flow", "sampling": {"method": "heun", "churn": 5.0, "spacing": "time"}}


@pytest.mark.parametrize(
    ("blocks", "changes", "expected"),
    [
        (NOISY, {"nfe": 5}, ("ab2", 5, 0.0, "logsnr", 0.0)),  # as it was measured, whatever suits the config's sampler
        (NOISY, {"nfe": 10}, ("abm2", 10, 0.0, "logsnr", 0.0)),
        (NOISY, {"nfe": 21}, ("midpoint", 10, 0.0, "logsnr", 0.0)),
        (CHURNED, {"nfe": 50}, ("heun", 25, 0.0, "time", 0.0)),
        (NOISY, {"nfe": 10, "guidance": 2.0}, ("ab2", 5, 0.0, "logsnr", 0.0)),  # 2 evaluations a call
        (NOISY, {"nfe": 5, "eta": 0.5, "spacing": "time"}, ("ab2", 5, 0.5, "time", 0.0)),
        (NOISY, {"nfe": 5, "sampler": "ddim"}, ("ddim", 5, 0.7, "time", 0.0)),
        (CHURNED, {"nfe": 5, "sampler": "heun"}, ("heun", 2, 0.0, "time", 5.0)),
        (NOISY, {}, ("ddim", 20, 0.7, "time", 0.0)),
        (NOISY, {"sampler": "midpoint", "steps": 3}, ("midpoint", 3, 0.0, "time", 0.0)),
    ],
)
def test_a_budget_of_evaluations_picks_a_sampler_as_it_was_measured(
    blocks: dict[str, Any], changes: dict[str, Any], expected: tuple[Any, ...]
):
    plan = model(None, **blocks).plan(**changes)
    assert (plan.sampler, plan.steps, plan.eta, plan.spacing, plan.churn) == expected


def test_a_budget_and_a_number_of_steps_exclude_each_other():
    with pytest.raises(InputError, match="nfe and steps are both given: keep one of them"):
        model(None).plan(nfe=10, steps=10)


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_guidance_needs_a_network_that_knows_maps_without_parameters(guidance: float):
    never = {"training": {"cfg_prob": 0}}
    assert model(None, **never).plan(guidance=1.0).guidance == 1
    with pytest.raises(InputError, match=rf"guidance {guidance:g}: the network was trained with training.cfg_prob 0"):
        model(None, **never).plan(guidance=guidance)
    for blocks in ({}, {**never, "model": {"cond_dim": 0}}):
        assert model(None, **blocks).plan(guidance=guidance).guidance == guidance
