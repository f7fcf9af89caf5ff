"""One table of samplers, read by everything that names one; a new sampler needs a spec and a function."""

import ast
import json
from pathlib import Path

import pytest
import torch
from forked import run_forked

from focus_engine.config.methods import METHODS
from focus_engine.config.samplers import SAMPLERS, fitting_samplers
from focus_engine.config.schema import Config
from focus_engine.config.templates import find_template
from focus_engine.generative.build import PROCESSES, build_process
from focus_engine.generative.process import Denoised
from focus_engine.generative.samplers.spacing import spaced_times
from focus_engine.generative.samplers.table import FUNCTIONS
from focus_engine.generative.samplers.task import SamplerTask

TOY = """
import contextlib, io, json, sys
from pathlib import Path

from focus_engine.config import samplers as sampler_specs
sampler_specs.SAMPLERS["toy"] = sampler_specs.SamplerSpec("toy", ("diffusion",), "sampling.num_steps", eta=(0.0, 0.5))

import torch
from focus_engine.generative.samplers.table import FUNCTIONS
FUNCTIONS["toy"] = FUNCTIONS["euler"]

from focus_engine.config.schema import Config
from focus_engine.config.load import parse_config
from focus_engine.config.json_schema import json_schema
from focus_engine.errors import InputError
from focus_engine.generative.build import build_process
from focus_engine.generative.sampling import DrawnBatches, SamplingPlan, sample_steps
from focus_engine.runs.create import create_experiment
from focus_tui.__main__ import run as focus
from focus_tui.compute.options import SampleOptions
from focus_tui.dashboard.sample_form import FLAGS, sample_request, facts_of_run

sys.path.insert(0, sys.argv[2])
import write_reference

def refusal(work):
    try:
        work()
    except InputError as error:
        return str(error)

def help_text():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        focus(["sample", "--help"])
    return " ".join(out.getvalue().split())

settings = ["sampling.method=toy", "sampling.num_steps=7"]
run = create_experiment(Path(sys.argv[1]), "a", template="small", settings=settings)
config = parse_config(run.config.read_text(), run.config).config
facts = facts_of_run(run, None)
form = dict.fromkeys(FLAGS, "") | {"sampler": "toy", "eta": "0.3"}
drawn = DrawnBatches()
plan = SamplingPlan("toy", steps=3)
network = lambda x, *_: torch.zeros_like(x)
for progress in sample_steps(network, build_process(config), torch.zeros(2, 6), (1, 8, 8), plan):
    drawn.add(progress)
print(json.dumps({
    "readme": run.path.joinpath("README.md").read_text(),
    "comments": " ".join(run.config.read_text().replace("#", " ").split()),
    "refused": refusal(lambda: parse_config("sampling: {method: plms}", Path("c"))),
    "misfit": refusal(lambda: parse_config("sampling: {method: rk4}", Path("c"))),
    "flow": refusal(lambda: parse_config("method: flow\\nsampling: {method: toy}", Path("c"))),
    "schema": json_schema()["$defs"]["SamplingBlock"]["properties"]["method"]["enum"],
    "help": help_text(),
    "reference": write_reference.configuration(),
    "option": refusal(lambda: SampleOptions(sampler="plms")),
    "eta": refusal(lambda: SampleOptions(sampler="toy", eta=0.8)),
    "ddpm": refusal(lambda: SampleOptions(sampler="ddpm", eta=0.8)),
    "fitting": facts.fitting,
    "steps": facts.steps["toy"],
    "problems": dict(sample_request(form, facts).problems),
    "drawn": [list(drawn.maps.shape), drawn.nfe],
}))
"""


def test_a_new_sampler_needs_a_spec_and_a_function_and_nothing_else(tmp_path):
    scripts = Path(__file__).parents[1] / "scripts"
    ended = run_forked(TOY, [str(tmp_path), str(scripts)])
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert "`toy`" in told["readme"]
    assert "abm2 or toy for diffusion; euler, heun, midpoint" in told["comments"]
    assert "sde and toy." in told["comments"]
    assert "sde and toy: 0 is deterministic" in told["comments"]
    assert "'toy'" in told["refused"]
    assert "allowed: ddim, ddpm, euler, heun, midpoint, dpmpp_2m, ab2, abm2, toy" in told["misfit"]
    assert "allowed: euler, heun" in told["flow"]
    assert "toy" in told["schema"]
    assert "toy" in told["help"]
    assert "`sde`, `toy`" in told["reference"]
    assert "allowed: ddim, ddpm, euler, heun, midpoint, dpmpp_2m, ab2, abm2 or toy for diffusion" in told["option"]
    free = "samplers with a free eta: ddim, dpmpp_2m, ab2, sde and toy"
    assert told["eta"] == f"--eta 0.8: sampler toy takes eta 0 to 0.5; {free}"
    assert free in told["ddpm"]
    assert told["fitting"] == [*fitting_samplers("diffusion"), "toy"]
    assert (told["steps"], told["problems"]) == (7, {})
    assert told["drawn"] == [[2, 1, 8, 8], 3]


def test_no_other_file_names_a_sampler():
    """But for what each method, and a template, begins with."""
    home = Path(__file__).parents[1]
    names = ("config/samplers", "config/budgets", "generative/samplers/table", "config/methods")
    tables = {f"focus_engine/{name}.py" for name in names}
    named = set()
    for path in (*home.glob("focus_engine/**/*.py"), *home.glob("focus_tui/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in SAMPLERS:
                named.add(str(path.relative_to(home)))
    assert named - tables == {"focus_engine/config/templates.py"}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_begins_with_a_sampler_that_fits_and_has_a_process_and_a_block(method):
    spec = METHODS[method]
    assert spec.name == method
    assert spec.sampler in fitting_samplers(method)
    for spelling in (method, *spec.aliases):
        config = Config.model_validate({"method": spelling})
        assert (config.method, config.sampling.method) == (method, spec.sampler)
    assert hasattr(config, spec.block)
    assert build_process(config).method == method
    assert bool(spec.more_noise) == (build_process(config).terminal_snr is not None)
    assert set(PROCESSES) == set(METHODS)
    assert find_template(None, method).method == method


def test_every_sampler_has_a_spec_and_a_function():
    assert set(SAMPLERS) == set(FUNCTIONS)
    assert all(name == spec.name for name, spec in SAMPLERS.items())


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_spec_is_true(name):
    """The steps are read from the config, the NFE per step is right, and --eta 0 is accepted if deterministic."""
    spec = SAMPLERS[name]
    config = Config(method=spec.methods[0])
    assert spec.steps_in(config) == spec.steps_in(config.model_dump(by_alias=True))
    assert spec.steps_in(config)
    assert name in fitting_samplers(config.method)
    calls = []

    def denoise(x, t):
        calls.append(t)
        return Denoised(x, x)

    noise = torch.ones(1, 1, 4, 4)
    process = build_process(config)
    times = spaced_times(process, 5, spec.spacing)
    steps = list(FUNCTIONS[name](SamplerTask(process, denoise, lambda: noise, times, spec.check_eta(None)), noise))
    assert steps[-1].index == 4
    if spec.chooses_steps:
        assert len(calls) <= spec.nfe(5, config.method) + 1
        return
    assert len(calls) == spec.nfe(5, config.method)
    assert spec.steps_within(spec.nfe(5, config.method), config.method) == 5
    assert spec.steps_within(spec.nfe(5, config.method) - 1, config.method) == 4
    assert [step.index for step in steps] == list(range(5))
    if spec.deterministic:
        assert spec.check_eta(0.0) == 0.0
