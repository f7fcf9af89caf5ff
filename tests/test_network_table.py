"""One table of networks: everything that names a network reads it, and a new one brings its own keys."""

import json
import re
from pathlib import Path

import pytest
from forked import run_forked

from focus_engine.config.block import keys_of
from focus_engine.config.blocks.model import ModelBlock
from focus_engine.config.networks import NETWORKS, SHARED_KEYS, NetworkSpec, settings_blocks
from focus_engine.config.schema import Config
from focus_engine.models.build import build_network
from focus_engine.trust import runs_code

pytestmark = pytest.mark.xdist_group("toy network")  # its tests share a fixture that takes seconds

MODULE = '''
import torch
from torch import nn

class Toy(nn.Module):
    """A convolution of its own width, in one of two ways."""

    def __init__(self, in_channels, out_channels, cond_dim, width, way, depth):
        super().__init__()
        self.seen = (width, way, depth)
        self.body = nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.SiLU(), nn.Conv2d(width, out_channels, 1))

    def forward(self, x, time, cond, unconditional=None):
        return self.body(x)
'''
TOY = """
import asyncio, contextlib, io, json, sys
from pathlib import Path
from typing import Literal

home, scripts, support = map(Path, sys.argv[1:])
sys.path[:0] = [str(home), str(scripts), str(support)]

from pydantic import Field
from focus_engine.config import block, networks

class ToyBlock(block.Block):
    '''The toy network (model.from: Toy).'''

    width: block.PositiveInt = Field(8, description="Channels inside.")
    way: Literal["plain", "fancy"] = Field("plain", description="How it is done.", json_schema_extra=block.FREE)
    depth: block.PositiveInt | None = Field(None, examples=[3], description="How often; " + "left out: once, " * 12)

networks.NETWORKS["Toy"] = networks.NetworkSpec(
    "Toy", "a toy", "toy_network:Toy", keys=("in_channels", "out_channels", "cond_dim"), block="toy", settings=ToyBlock
)

import torch
import write_reference
from focus_engine.api import Experiment
from focus_engine.config.json_schema import json_schema
from focus_engine.config.load import load_config, parse_config
from focus_engine.config.schema import Config, plain_config
from focus_engine.config.templates import Template, config_text
from focus_engine.errors import InputError
from focus_engine.models.build import build_network
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.resumable import check_resumable
from focus_engine.trust import runs_code
from focus_engine.worker import session
from focus_engine.worker.__main__ import main as work
from focus_tui.__main__ import run as focus
from focus_tui.dashboard.new_form import StartingPoint, check_form

def refusal(work):
    try:
        work()
    except InputError as error:
        return str(error)

def parsed(text):
    return parse_config(text, Path("c")).config

def terminal(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = focus(list(arguments))
    return code, out.getvalue(), err.getvalue()

def formed(**values):
    start, dotted = StartingPoint(template="small"), {k.replace("__", "."): v for k, v in values.items()}
    checked = check_form(home, "b", start, dotted)
    return {"own": checked.own_keys, "words": checked.words.get("model.toy.way"), "values": dict(checked.values),
            "problems": dict(checked.problems), "text": checked.text}

async def on_the_new_screen():
    from dashboard import FakeFeed, on_screen
    from focus_tui.dashboard.app import FocusApp

    app = FocusApp(home, feed=FakeFeed([]))
    async with on_screen(app, 120, 60) as pilot:
        async def answered(condition):
            for _ in range(1000):
                await pilot.pause(0.01)
                if screen._answered == screen._asked and condition():
                    return
            raise AssertionError
        await pilot.press("n")
        await pilot.pause()
        screen = app.screen
        screen.fields["more"].value = "model.from=Toy"
        await answered(lambda: "model.toy.width" in screen.fields and screen.fields["model.toy.width"].display)
        await answered(lambda: screen.fields["model.toy.width"].input.placeholder == "8")
        screen.fields["model.toy.way"].value = "fancy"
        screen.fields["model.toy.width"].value = "0"
        await answered(lambda: screen.fields["model.toy.width"].problem)
        problem = screen.fields["model.toy.width"].problem
        screen.fields["model.toy.width"].value = "5"
        await answered(lambda: not screen.fields["model.toy.width"].problem)
        told = screen.command(), problem, screen._checked.text
        screen.fields["more"].value = ""
        await answered(lambda: not screen.fields["model.toy.width"].display)
        return told

settings = ["model.from=Toy", "training.optimizer=adamw", "model.toy.width=4",
            "training.num_epochs=1", "training.devices=1", "device=cpu",
            "data.simulations=3", "data.grid=8", "data.map_size=8", "data.maps_per_simulation=3",
            "training.sample_every=0", "training.scheduler.warmup_epochs=0"]
run = create_experiment(home / "root", "a", template="small", settings=settings)
config = load_config(run.config).config
network = build_network(config.model, seed=1)

session.Artist.draw = lambda *_: None  # a figure is a process with matplotlib
worked = work([str(run.path)])
history = Experiment(run).history()
saved = torch.load(run.checkpoint_last, weights_only=True)
trained = plain_config(config)
print(json.dumps({
    "seen": network.seen,
    "trained": (worked, history[-1].epoch, saved["config"]["model"]["toy"]),
    "unknown": refusal(lambda: parsed("model:\\n  from: Toy\\n  toy:\\n    widht: 3")),
    "range": refusal(lambda: parsed("model:\\n  toy:\\n    width: 0")),
    "word": refusal(lambda: parsed("model: {toy: {way: odd}}")),
    "options": refusal(lambda: parsed("model: {from: Toy, options: {width: 3}}")),
    "warnings": parse_config("model:\\n  toy: {width: 3}", Path("c")).warnings,
    "schema": json_schema()["$defs"]["ToyBlock"]["properties"],
    "reference": write_reference.configuration(),
    "template": config_text(Template("t", settings={"model.from": "Toy"}), name="t", created="d", schema="s"),
    "waiting": config_text(Template("t"), name="t", created="d", schema="s"),
    "config": run.config.read_text(),
    "readme": run.path.joinpath("README.md").read_text(),
    "check": terminal("config", "check", str(run.config)),
    "set": terminal("--root", str(home / "root"), "new", "c", "--set", "model.toy.wdth=2"),
    "code": [runs_code("Toy"), runs_code("toy_network.Toy")],
    "resume": [refusal(lambda: check_resumable(parsed(run.config.read_text().replace(old, new)), trained))
               for old, new in (("way: plain", "way: fancy"), ("width: 4", "width: 5"))],
    "form": formed(more="model.from=Toy", model__toy__width="x"),
    "unasked": formed(),
    "screen": asyncio.run(on_the_new_screen()),
    "root": str(home / "root"),
}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What everything that reads the table says of a network that a test registered."""
    home, here = tmp_path_factory.mktemp("toy"), Path(__file__).parent
    (home / "toy_network.py").write_text(MODULE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOCUS_CACHE", str(home / "cache"))
        ended = run_forked(TOY, [str(home), str(here.parent / "scripts"), str(here / "support")])
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_its_keys_are_checked_with_line_and_nearest_key(told: dict):
    assert told["unknown"] == "c:4: unknown key 'model.toy.widht'; did you mean 'model.toy.width'?"
    assert told["range"] == "c:3: model.toy.width: 0: must be >= 1"
    assert told["word"] == "c:1: model.toy.way: 'odd' is not allowed; allowed: 'plain' or 'fancy'"
    assert told["warnings"] == ["c:2: model.toy is not read by model.from: SimpleUNet"]
    assert "did you mean 'model.toy.width'" in told["set"][2]
    assert told["set"][0] == 2


def test_it_takes_its_settings_and_no_options(told: dict):
    takes = "model.in_channels, model.out_channels, model.cond_dim, model.toy.width, model.toy.way, model.toy.depth"
    assert told["options"] == (
        f"c:1: model.options is for a class of your own, but model.from is Toy, which takes: {takes}"
    )


def test_it_is_in_the_schema_the_reference_and_the_help_of_model_from(told: dict):
    assert told["schema"]["width"]["description"] == "Channels inside."
    assert told["schema"]["way"]["description"] == "How it is done. May change on resume."
    assert "## model.toy\n\nThe toy network (model.from: Toy)." in told["reference"]
    assert "| `width` | whole number ≥ 1 | `8` | Channels inside. |" in told["reference"]
    assert "Swin (a transformer with shifted windows), Toy (a toy), or the dotted import path" in told["reference"]


def test_a_template_of_it_holds_its_keys_and_none_that_it_does_not_read(told: dict):
    text = told["template"]
    assert re.search(r"^  toy:\n    width: 8 +# Channels inside.\n    way: plain +# How", text, re.MULTILINE)
    assert "base_channels" not in text


def test_in_other_templates_its_keys_wait_as_comments_until_one_is_set(told: dict):
    waiting, config = told["waiting"], told["config"]
    assert re.search(r"^  # The toy network.*\n  # toy:\n  #   width: 8 +# Channels inside.\n", waiting, re.MULTILINE)
    assert max(map(len, waiting.splitlines())) <= 110
    assert re.search(r"^  toy:\n    width: 4 +# Channels inside.\n    way: plain", config, re.MULTILINE)
    assert "# toy:" not in config
    assert config.count("\n    width:") == 1


def test_it_is_built_trained_and_trusted(told: dict):
    assert told["seen"] == [4, "plain", None]
    assert told["trained"] == [0, 1, {"width": 4, "way": "plain", "depth": None}]
    assert told["code"] == [False, True]
    code, out, _ = told["check"]
    assert code == 0
    assert "ok (diffusion, Toy, width 4, way plain, 1 epochs)" in out
    assert "| Network | Toy, width 4, way plain |" in told["readme"]


def test_a_mark_at_its_field_says_what_a_resume_may_change(told: dict):
    free, fixed = told["resume"]
    assert free is None
    assert "model.toy.width: 4 -> 5" in fixed


def test_the_new_form_asks_for_its_keys(told: dict):
    form = told["form"]
    assert form["own"] == ["model.toy.width", "model.toy.way", "model.toy.depth"]
    assert form["words"] == ["plain", "fancy"]
    assert form["values"]["model.toy.way"] == "plain"
    assert form["problems"] == {"model.toy.width": "'x': must be a whole number"}
    assert told["unasked"]["own"] == ["model.unet.attention_levels", "model.unet.attention_heads"]
    command, problem, text = told["screen"]
    assert "--set model.toy.width=5 --set model.toy.way=fancy --set model.from=Toy" in command
    assert problem == "0: must be >= 1"
    assert re.search(r"^  toy:\n    width: 5 .*\n    way: fancy ", text, re.MULTILINE)


# the networks that there are


@pytest.mark.parametrize("name", NETWORKS)
def test_a_spec_is_true(name: str):
    spec = NETWORKS[name]
    assert name == spec.name
    assert "." not in name, "a name with a dot is an import path"
    small = {"from": name, "cond_dim": 2, "base_channels": 8, "channel_mults": [1], "time_dim": 8}
    model = Config.model_validate({"model": small}).model
    assert set(spec.keys) <= set(SHARED_KEYS)
    assert build_network(model, seed=0) is not None
    assert not runs_code(name)


def test_every_flat_key_of_the_model_block_is_shared_and_every_other_belongs_to_a_network():
    own = keys_of(ModelBlock).keys() - {"from", "options"}
    assert own == {*SHARED_KEYS, *settings_blocks()}


def test_a_spec_that_says_half_is_refused():
    with pytest.raises(ValueError, match="go together"):
        NetworkSpec("Half", "", "a:B", block="half")
