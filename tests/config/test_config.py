"""Reading config.yaml: accepted and refused files with their messages; templates and the JSON Schema."""

import itertools
import re

import pytest
from example_configs import HERE, SEED, TEMPLATE
from jsonschema import Draft202012Validator

from focus_engine.config.json_schema import json_schema
from focus_engine.config.load import all_keys, load_config, parse_config
from focus_engine.config.methods import other_blocks
from focus_engine.config.schema import Config
from focus_engine.config.templates import TEMPLATES, config_text, find_template
from focus_engine.config.yaml_text import parse_value
from focus_engine.errors import InputError


def read(text):
    return parse_config(text, HERE).config


def test_an_old_config_loads_with_one_warning():
    loaded = parse_config(SEED, HERE)
    assert loaded.config.training.lr == 1.0e-4
    assert loaded.config.training.scheduler.min_lr == 1.0e-7
    assert loaded.config.data.source == "files"
    assert loaded.config.model.channel_mults == (1, 2, 4, 8)
    assert loaded.config.experiment.created == "2025-01-01"
    (warning,) = loaded.warnings
    assert warning.startswith("config.yaml:43: sampling.cfg_scale 2 changes the density")


def test_an_empty_config_is_the_documented_defaults():
    config = read("# nothing\n")
    assert config == Config()
    assert (config.method, config.data.source, config.device) == ("diffusion", "simulated", "auto")
    assert (config.training.num_epochs, config.training.lr, config.model.base_channels) == (200, 1.0e-4, 64)
    assert (config.training.scheduler.factor, config.training.early_stopping.patience) == (0.3, 10)
    assert (config.diffusion.beta_end, config.sampling.eta, config.sampling.cfg_scale) == (0.02, 0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("1.e-4", 1e-4),
        (".0001", 1e-4),
        ("1.0e-04", 1e-4),
        ("+1e-4", 1e-4),
        ("0.0001", 1e-4),
        ("1", 1.0),
        ("2e0", 2.0),
    ],
)
def test_common_spellings_of_numbers_are_floats(text, value):
    assert read(f"training: {{lr: {text}, scheduler: {{min_lr: 0}}}}").training.lr == value


@pytest.mark.parametrize("word", ["flow", "flow_matching"])
@pytest.mark.parametrize("place", ["method: {}", "experiment: {{method: {}}}"])
def test_both_spellings_and_places_of_the_method(word, place):
    config = read(place.format(word))
    assert config.method == "flow"
    assert config.sampling.method == "heun"


def test_a_key_without_a_value_is_left_out():
    assert read("training:\n  lr:\n  max_minutes: null\nnotify:\n") == Config()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("training:\n  learning_rte: 1\n", 2, ["unknown key 'training.learning_rte'", "allowed here", "batch_size"]),
        ("training:\n  batchsize: 1\n", 2, ["did you mean 'training.batch_size'"]),
        ("\nbatch_size: 1\n", 2, ["did you mean 'training.batch_size'"]),
        ("scheduler:\n  name: step\n", 1, ["unknown key 'scheduler'"]),
        ("training:\n  scheduler:\n    Patience: 1\n", 3, ["did you mean 'training.scheduler.patience'"]),
        ("training:\n  lr: fast\n", 2, ["training.lr: 'fast'", "must be a number"]),
        ("training:\n  lr: '1e-4'\n", 2, ["must be a number"]),
        ("training:\n  lr: .nan\n", 2, ["finite"]),
        ("training:\n  lr: .inf\n", 2, ["finite"]),
        ("training:\n  lr: -1\n", 2, ["training.lr: -1", "must be > 0"]),
        ("training:\n  batch_size: 2.5\n", 2, ["whole number"]),
        ("training:\n  batch_size: 0\n", 2, ["must be >= 1"]),
        ("training:\n  cfg_prob: 1.0\n", 2, ["must be < 1"]),
        ("training:\n  use_augmentation: 1\n", 2, ["true or false"]),
        ("training:\n  optimizer: lion\n", 2, ["'lion' is not allowed", "adamw", "sgd"]),
        ("training:\n  - lr\n", 1, ["is not a block of keys"]),
        ("training: 3\n", 1, ["is not a block of keys"]),
        ("model:\n  channel_mults: 3\n", 2, ["must be a list"]),
        ("model:\n  channel_mults: []\n", 2, ["must not be empty"]),
        ("model:\n  channel_mults: [1, 0]\n", 2, ["must be >= 1"]),
        ("model:\n  channel_mults: [1, two]\n", 2, ["whole number"]),
        ("model:\n  time_dim: 7\n", 2, ["even"]),
        ("model:\n  in_channels: 2\n", 2, ["out_channels", "make them equal"]),
        ("model:\n  from: 3\n", 2, ["must be text"]),
        ("diffusion:\n  schedule: sqrt\n", 2, ["'linear'", "'cosine'", "'quadratic'"]),
        ("diffusion:\n  beta_start: 0.5\n", 2, ["exceeds diffusion.beta_end"]),
        ("diffusion:\n  timesteps: 10\n", 2, ["ddim_timesteps is 50", "10"]),
        ("diffusion:\n  zero_terminal_snr: true\n", 2, ["needs diffusion.prediction: v"]),
        ("sampling:\n  eta: 1.5\n", 2, ["must be <= 1"]),
        ("sampling:\n  method: sde\n", 2, ["does not fit method: diffusion", "ddim"]),
        ("sampling:\n  churn: 10\n", 2, ["sampling.churn is 10", "ddim has none", "heun"]),
        ("method: flow\nsampling:\n  method: sde\n", 3, ["sampling.eta is 0", "sde needs noise"]),
        ("sampling:\n  rtol: 0\n", 2, ["must be > 0"]),
        ("sampling:\n  spacing: even\n", 2, ["time", "logsnr"]),
        ("sampling:\n  ddim_timesteps: 1001\n", 2, ["more than diffusion.timesteps"]),
        ("data:\n  train_split: 1.0\n", 2, ["must be < 1"]),
        ("model:\n  from: SimpelUNet\n", 2, ["'SimpelUNet' is unknown", "DiT, Swin", "did you mean 'SimpleUNet'?"]),
        ("training: {scheduler: {name: cosine, eta_min: 0.1}}\n", 1, ["eta_min 0.1 exceeds training.lr 0.0001"]),
        (
            "data:\n  source: files\n  data_dir: .\n  stored_as: unknown\n  normalize: gaussian\n",
            5,
            ["'unknown'", "none"],
        ),
        ("data:\n  source: files\n", 2, ["neither data.maps_path nor data.data_dir"]),
        ("data:\n  maps_path: a.npy\n", 2, ["without data.params_path"]),
        ("data:\n  maps_per_simulation: 5\n", 2, ["data.maps_per_simulation is 5", "multiple of 3"]),
        ("data:\n  map_size: 64\n  grid: 8\n", 2, ["four times data.grid 8", "at most 32"]),
        ("data:\n  params: [Omega_m, h]\n", 2, ["unknown 'h'", "sigma_8"]),
        ("data:\n  params: [Omega_m]\n", 2, ["names 1 parameters but model.cond_dim is 6"]),
        ("model: {cond_dim: 2}\ndata:\n  params: [Omega_m, Omega_m]\n", 3, ["is given twice"]),
        ("device: gpu\n", 1, ["must be auto, cpu, mps, cuda or cuda:N"]),
        ("method: gan\n", 1, ["'diffusion', 'flow' or 'edm'"]),
        ("method: flow\nexperiment:\n  method: diffusion\n", 1, ["keep one of them"]),
        ("training: {lr: 1\n", 2, ["not valid YAML"]),
        ("a: b: c\n", 1, ["not valid YAML"]),
        ("training:\n\tlr: 1\n", 2, ["not valid YAML"]),
        ("- a\n- b\n", 1, ["a config is a mapping"]),
        ("just words\n", 1, ["a config is a mapping"]),
        ("training:\n  lr: 1e-4\n  lr: 1e-3\n", 3, ["'lr' is given twice (first on line 2)"]),
        ("? [a, b]\n: 1\n", 1, ["a key must be a plain word"]),
        ("experiment:\n  name: !!python/object/apply:os.system ['touch pwned']\n", 2, ["tag", "not allowed"]),
        ("training: !!python/name:os.system\n", 1, ["tag", "not allowed"]),
        ("device: !mine cpu\n", 1, ["tag", "not allowed"]),
        ("model:\n  cond_dim: !!int 'x'\n", 2, ["'x' cannot be read"]),
        ("device: cpu\n---\ndevice: cpu\n", 2, ["not valid YAML"]),
    ],
)
def test_bad_configs_name_line_and_what_is_allowed(text, line, words):
    with pytest.raises(InputError) as refused:
        read(text)
    first = str(refused.value).splitlines()[0]
    assert first.startswith(f"config.yaml:{line}: ")
    for word in words:
        assert word in str(refused.value)


def test_every_mistake_is_reported_at_once():
    with pytest.raises(InputError) as refused:
        read("training:\n  lr: -1\n  batch_size: 0\nnonsense: 1\n")
    assert [line.split(": ")[0] for line in str(refused.value).splitlines()] == [
        "config.yaml:2",
        "config.yaml:3",
        "config.yaml:4",
    ]


def test_aliases_that_multiply_are_refused():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    names = "abcdefgh"
    for old, new in itertools.pairwise(names):
        bomb += f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    with pytest.raises(InputError, match="more values than a config can hold"):
        read(bomb)


def test_an_alias_to_itself_is_refused():
    with pytest.raises(InputError, match=r"nested too deeply|more values"):
        read("training: &a\n  scheduler: *a\n")


def test_deep_nesting_is_refused():
    with pytest.raises(InputError):
        read("a: " + "[" * 5000)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "no such config file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"name: \xff\xfe"), "not a UTF-8 text file"),
    ],
)
def test_unreadable_files(tmp_path, make, words):
    path = tmp_path / "config.yaml"
    make(path)
    with pytest.raises(InputError, match=words):
        load_config(path)


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_hold_every_key_of_their_method(name):
    template = TEMPLATES[name]
    others = other_blocks(template.method)
    text = config_text(template, name="x", created="2026-01-01", schema="../s.json")
    assert text.startswith("# yaml-language-server: $schema=../s.json\n")
    assert max(map(len, text.splitlines())) <= 110
    for at in all_keys():
        present = re.search(rf"^ *(# +)?{re.escape(at[-1])}:", text, re.MULTILINE)
        assert present or at[0] in others, at
    assert not any(f"\n{other}:" in text for other in others)
    config = parse_config(text, HERE).config
    for dotted, value in template.settings.items():
        found = config.model_dump(by_alias=True)
        for key in dotted.split("."):
            found = found[key]
        assert found == value


def test_the_default_template_is_the_seeds_experiment():
    config = parse_config(TEMPLATE, HERE).config
    assert (config.model.from_, config.model.base_channels, config.model.channel_mults) == (
        "SimpleUNet",
        128,
        (1, 2, 4, 8),
    )
    assert (config.model.time_dim, config.model.cond_dim, config.training.batch_size) == (256, 6, 64)
    assert (config.diffusion.schedule, config.diffusion.timesteps, config.sampling.ddim_timesteps) == (
        "linear",
        1000,
        50,
    )


def test_methods_and_templates_that_do_not_exist():
    with pytest.raises(InputError, match="allowed: diffusion, small"):
        find_template("large")
    with pytest.raises(InputError, match="allowed: diffusion"):
        find_template(None, "gan")


def test_the_schema_knows_every_key_with_its_words():
    schema = json_schema()
    for at in all_keys():
        rules = schema
        for key in at[:-1]:
            rules = schema["$defs"][rules["properties"][key]["anyOf"][0]["$ref"].rsplit("/", 1)[-1]]
        assert rules["properties"][at[-1]]["description"]
        assert rules["additionalProperties"] is False


def test_editors_accept_the_templates_and_old_configs():
    validator = Draft202012Validator(json_schema())
    for text in (TEMPLATE, SEED, "training:\nmethod: flow_matching\n"):
        validator.validate(parse_value(text))
    assert list(validator.iter_errors({"training": {"lrr": 1}}))
