"""The Python API and comparisons, with two small experiments trained by `from focus_engine import Experiment`."""

import json
from dataclasses import replace

import numpy as np
import pytest

from focus_engine import Experiment
from focus_engine.errors import FocusError, InputError, RunConflictError
from focus_engine.evaluation.comparison import why_not_comparable
from focus_engine.evaluation.trained_model import open_trained
from focus_engine.events.table import EpochFinished, RunEnded, RunStarted
from focus_engine.models.build import build_network, count_parameters
from focus_engine.runs.comparison import read_comparison
from focus_engine.worker.foreground import run_in_foreground
from focus_tui.__main__ import run as focus

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("api")]  # they share two trained experiments

TINY = {
    "data.simulations": 8,
    "data.grid": 8,
    "data.map_size": 16,
    "data.train_split": 0.5,
    "model.base_channels": 8,
    "model.time_dim": 16,
    "training.num_epochs": 2,
    "training.batch_size": 30,
    "training.sample_every": 0,
    "device": "cpu",
}
OTHER_SEED = {"sampling.method": "heun", "sampling.num_steps": 3, "training.seed": 3}
DDIM = {"sampling.method": "ddim", "sampling.ddim_timesteps": 4}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Yield an experiments folder with `diffusion` and `flow`, trained for two epochs."""
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOCUS_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        root = folder / "experiments"
        made = [
            Experiment.create("diffusion", root=root, template="small", settings=TINY | DDIM),
            Experiment.create("flow", root=root, template="small_flow", settings=TINY | OTHER_SEED),
        ]
        for one in made:
            one.start()
        for one in made:
            assert one.wait(120).state == "finished"
        yield root


@pytest.fixture
def flow(home):
    return Experiment.open("flow", root=home)


@pytest.fixture
def diffusion(home):
    return Experiment.open("diffusion", root=home)


def test_an_experiment_gives_its_config_state_and_history(flow, home):
    assert flow.config.method == "flow"
    assert flow.config.training.num_epochs == 2
    assert flow.status().epoch == 2
    assert [epoch.epoch for epoch in flow.history()] == [1, 2]
    assert {one.name for one in Experiment.all(root=home)} == {"diffusion", "flow"}
    assert repr(flow) == "<Experiment flow: finished>"


def test_events_are_followed_to_the_last_one(flow):
    followed = list(flow.events(follow=True))
    assert followed == list(flow.events())
    assert isinstance(followed[-1], RunEnded)
    assert sum(isinstance(event, EpochFinished) for event in followed) == 2


def test_maps_are_drawn_at_the_parameters_given(flow, tmp_path):
    more = {"params": {"Omega_m": 0.3, "sigma_8": 0.8}, "steps": 2, "batch_size": 2, "device": "cpu"}
    drawn = flow.sample(3, output=tmp_path / "maps.npz", **more)
    assert drawn.maps.shape == (3, 1, 16, 16)
    assert drawn.nfe == 4  # Heun has an NFE of 2 per step
    assert np.allclose(drawn.params, [0.3, 0.8])
    again = flow.sample(3, output=tmp_path / "again.npz", devices=2, **more)
    assert np.array_equal(drawn.maps, again.maps)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"eta": 0.5}, "heun always has eta 0"),
        ({"sampler": "ddim"}, "ddim"),
        ({"steps": 0}, "steps"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(flow, plan, words):
    with pytest.raises(InputError, match=words):
        flow.sample(1, **plan)


def test_a_sampler_of_another_method_is_refused_with_those_that_fit(flow, diffusion):
    with pytest.raises(InputError, match="euler, heun"):
        flow.sample(1, sampler="ddpm")
    with pytest.raises(InputError, match="ddim, ddpm"):
        diffusion.sample(1, sampler="sde")


def test_mistakes_are_refused(flow, home):
    with pytest.raises(InputError, match="nothing_here"):
        Experiment.open("nothing_here", root=home)
    with pytest.raises(InputError, match="exists already"):
        Experiment.create("flow", root=home)
    with pytest.raises(InputError, match=r"training\.lr"):
        Experiment.create("new", root=home, settings={"training.lr": -1})
    with pytest.raises(RunConflictError, match="has checkpoints"):
        flow.start()
    with pytest.raises(RunConflictError, match="does not run"):
        flow.stop()
    with pytest.raises(InputError, match="at least one other"):
        flow.compare()


def test_a_comparison_scores_as_an_evaluation_of_the_same_maps_does(flow, diffusion):
    compared = diffusion.compare(flow, count=1000, steps=(1, 3))
    assert [one.contender.run.name for one in compared.models] == ["diffusion", "flow"]
    for experiment, model in zip((diffusion, flow), compared.models, strict=True):
        alone = experiment.evaluate(1000)
        assert model.evaluation.power_spectrum.median_abs_error == alone.power_spectrum.median_abs_error
        assert model.scores.own_cost.scores["power_error"] == alone.power_spectrum.median_abs_error
    assert [(cost.steps, cost.nfe) for cost in compared.models[0].costs] == [(1, 1), (3, 3), (4, 4)]
    assert [(cost.steps, cost.nfe) for cost in compared.models[1].costs] == [(1, 2), (3, 6)]
    assert all(cost.seconds_per_map > 0 for one in compared.models for cost in one.costs)
    assert compared.figure.read_bytes().startswith(b"\x89PNG")
    written = json.loads(compared.report.read_text())
    assert written["runs"][1]["name"] == "flow"
    assert read_comparison(written) == compared.scores


def test_runs_of_other_training_seeds_share_their_split_and_are_comparable(flow, diffusion):
    models = [(one.name, open_trained(one.run.checkpoint_best)) for one in (flow, diffusion)]
    assert [model.config.training.seed for _, model in models] == [3, 0]
    assert models[0][1].data["split"] == models[1][1].data["split"]
    assert why_not_comparable(models) is None


def test_other_data_box_shape_or_split_are_not_comparable(flow):
    model = open_trained(flow.run.checkpoint_best)
    split = model.data["split"]

    def other(**changes):
        return why_not_comparable([("a", model), ("b", replace(model, data={**model.data, **changes}))])

    assert other() is None
    assert "box size: 25.0 and 50.0" in other(box_size=50.0)
    assert "map shape" in other(map_shape=[1, 32, 32])
    assert "another data set" in other(fingerprint="0")
    assert "data.train_split or data.split_seed differ" in other(split={**split, "test": split["train"]})


def compared(capfd, *arguments):
    capfd.readouterr()
    code = focus(["compare", *map(str, arguments)])
    said = capfd.readouterr()
    return code, said.out, said.err


def test_the_command_shows_curves_configs_and_samples(home, capfd, tmp_path):
    report = tmp_path / "report.json"
    names = (home / "diffusion", home / "flow")
    code, out, _ = compared(capfd, *names, "-n", 12, "--steps", "2", "-o", report)
    assert code == 0
    for words in (
        "validation loss",
        "method",
        "perfect model",
        "heun 3",
        "seconds per map",
        "compare P(k), not the losses",
    ):
        assert words in out
    assert report.with_suffix(".png").is_file()


def test_the_document_holds_curves_differences_and_samples(home, capfd):
    code, out, err = compared(capfd, home / "diffusion", home / "flow", "-n", 12, "--steps", "2", "--json")
    assert code == 0
    document = json.loads(out)
    assert [run["curves"]["epoch"] for run in document["runs"]] == [[1, 2], [1, 2]]
    assert document["config_differences"]["method"] == {"diffusion": "diffusion", "flow": "flow"}
    assert document["samples_refused"] is None
    assert [one["steps"] for one in document["samples"]["runs"][0]["steps"]] == [2, 4]
    assert "best" in err


def test_an_untrained_experiment_is_compared_by_its_curves_alone(home, capfd):
    try:
        Experiment.create("untrained", root=home, template="small", settings=TINY)
        code, out, err = compared(capfd, home / "flow", home / "untrained")
        assert code == 0
        assert "samples are not compared, curves are: untrained has no checkpoint yet" in err
        assert "validation loss" in out
        document = json.loads(compared(capfd, home / "flow", home / "untrained", "--curves", "--json")[1])
        assert document["samples"] is None
    finally:
        focus(["rm", str(home / "untrained"), "--yes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["flow"], "at least two"),
        (["flow", "flow"], "at least two"),
        (["flow", "nobody"], "nobody"),
        (["flow", "diffusion", "--steps", "5,many"], "5,many"),
        (["flow", "diffusion", "--steps", "0"], "--steps 0"),
        (["flow", "diffusion", "-o", "picture.png"], ".json"),
        (["flow", "diffusion", "--checkpoint", "/x.pt"], "best or last"),
    ],
)
def test_bad_arguments_of_compare_are_refused(home, capfd, monkeypatch, arguments, words):
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(home))
    code, out, err = compared(capfd, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_rehearsal_reports_what_training_took_and_writes_nothing(flow, home, monkeypatch, capfd):
    before = sorted(path.relative_to(home) for path in home.rglob("*"))
    found = flow.check()
    started = next(event for event in flow.events() if isinstance(event, RunStarted))
    assert found.n_parameters == started.n_parameters == count_parameters(build_network(flow.config.model))
    assert found.maps == started.maps
    assert found.steps_per_epoch == started.steps_per_epoch
    assert found.averages_bytes == 32 * 4 * found.n_parameters
    assert found.checkpoint_bytes == pytest.approx(flow.run.checkpoint_last.stat().st_size, rel=0.35)
    assert 0 < found.seconds_per_step < found.seconds_per_epoch
    assert found.enough_disk
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(home))
    capfd.readouterr()
    assert focus(["check", "flow"]) == 0
    assert f"{found.n_parameters:,} parameters" in capfd.readouterr().out
    assert sorted(path.relative_to(home) for path in home.rglob("*")) == before


HUNGRY = """\
import torch
from focus_engine.models.unet import SimpleUNet


class Hungry(SimpleUNet):
    def forward(self, x, time, cond, unconditional=None):
        if len(x) > {most}:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().forward(x, time, cond, unconditional)
"""


@pytest.fixture
def hungry(tmp_path, home, monkeypatch):
    """Return a maker of an experiment with batches of 30 maps on a device that has memory for 15."""
    (tmp_path / "hungry_model.py").write_text(HUNGRY.format(most=15))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FOCUS_CACHE", str(home.parent / "cache"))
    settings = TINY | {"model.from": "hungry_model.Hungry", "training.num_epochs": 1}
    return lambda **more: Experiment.create("hungry", root=tmp_path, template="small", settings=settings | more)


def test_out_of_memory_is_reported_with_the_settings_of_the_run(hungry):
    experiment = hungry()
    ended = run_in_foreground(experiment.run, resume=False, device=None, on_event=lambda _: None)
    assert ended.state == "failed"
    assert "training.batch_size 30 -> 15, training.accumulate 1 -> 2" in ended.reason
    with pytest.raises(FocusError, match=r"training\.batch_size 30 -> 15"):
        experiment.check()


def test_batches_are_halved_if_the_config_says_so(hungry):
    experiment = hungry(**{"training.on_oom": "halve", "training.num_epochs": 2})
    told = []
    ended = run_in_foreground(experiment.run, resume=False, device=None, on_event=told.append)
    assert ended.state == "finished"
    settings = experiment.config.training
    assert (settings.batch_size, settings.accumulate) == (15, 2)
    warning = next(event for event in told if event.type == "warning" and event.code == "out_of_memory")
    assert "30 -> 15" in warning.message
    begun = [(event.batch_size, event.accumulate, event.epoch) for event in told if isinstance(event, RunStarted)]
    assert begun == [(30, 1, 0), (15, 2, 0)]
    assert [epoch.epoch for epoch in experiment.history()] == [1, 2]


def test_a_run_resumes_with_other_batches_and_equal_maps_per_step(hungry):
    experiment = hungry(**{"training.batch_size": 14, "training.accumulate": 2, "training.num_epochs": 1})
    run_in_foreground(experiment.run, resume=False, device=None, on_event=lambda _: None)
    text = experiment.run.config.read_text()
    for old, new in (
        ("batch_size: 14", "batch_size: 7"),
        ("accumulate: 2", "accumulate: 4"),
        ("num_epochs: 1", "num_epochs: 2"),
    ):
        assert old in text
        text = text.replace(old, new)
    experiment.run.config.write_text(text)
    assert run_in_foreground(experiment.run, resume=True, device=None, on_event=lambda _: None).epoch == 2
    experiment.run.config.write_text(
        text.replace("batch_size: 7", "batch_size: 8").replace("num_epochs: 2", "num_epochs: 3")
    )
    with pytest.raises(InputError, match=r"training.batch_size: 7 -> 8"):
        experiment.resume()


def test_several_are_queued_even_if_one_of_them_cannot_start(home, capfd, monkeypatch):
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(home))
    made = [
        Experiment.create(name, root=home, template="small", settings=TINY | {"training.num_epochs": 1})
        for name in ("one", "other")
    ]
    try:
        capfd.readouterr()
        assert focus(["start", "one", "flow", "other"]) == 2
        said = capfd.readouterr()
        assert "flow has checkpoints" in said.err
        assert [line.split(",")[0] for line in said.out.splitlines()] == ["queued one", "queued other"]
        assert [one.wait(120).state for one in made] == ["finished", "finished"]
        first, second = (one.events() for one in made)
        assert next(e.time for e in second if e.type == "run_started") > next(
            e.time for e in first if e.type == "run_ended"
        )  # without a GPU there is one slot
    finally:
        focus(["rm", "one", "other", "--yes"])
