"""What may change between two halves of a training: every key of the schema, by the mark at its field."""

import pytest

from focus_engine.config.block import block_in, keys_of, resume_marks
from focus_engine.config.json_schema import json_schema
from focus_engine.config.load import all_keys
from focus_engine.config.schema import Config, plain_config
from focus_engine.errors import InputError
from focus_engine.runs.resumable import check_resumable

FREE = {
    "experiment.name",
    "experiment.description",
    "experiment.created",
    "data.maps_path",
    "data.maps_key",
    "data.params_path",
    "data.data_dir",
    "data.fields",  # names of channels: changed pixels are refused by the fingerprint of the data
    "data.units",
    "data.num_workers",
    "training.compile",
    "training.activation_checkpointing",
    "training.num_epochs",
    "training.sample_every",
    "training.max_minutes",
    "training.averages",
    "training.averages_gb",
    "training.checkpoint_minutes",
    "training.devices",
    "training.max_restarts",
    "training.on_oom",
    "training.scheduler.patience",
    "training.early_stopping.patience",
    "sampling.method",
    "sampling.ddim_timesteps",
    "sampling.num_steps",
    "sampling.cfg_scale",
    "sampling.eta",
    "sampling.spacing",
    "sampling.churn",
    "sampling.rtol",
    "sampling.atol",
    "sampling.prior",
    "sampling.calibration_maps",
    "worker.stall_minutes",
    "worker.on_stall",
    "device",
    "notify.command",
}
"""The law, written a second time: a key is free to change here only if somebody thought of what a resume does."""
TOGETHER = {"training.batch_size", "training.accumulate"}
KEYS = [".".join(at) for at in all_keys()]


def trained_with(dotted: str, value: object) -> dict:
    """The plain config of a run that had another value at one key."""
    plain = plain_config(Config())
    *blocks, key = dotted.split(".")
    block = plain
    for name in blocks:
        block = block[name]
    block[key] = value
    return plain


@pytest.mark.parametrize("key", KEYS)
def test_a_key_changes_on_resume_only_where_its_mark_says_so(key: str):
    trained = trained_with(key, 48 if key in TOGETHER else "another")
    if key in FREE:
        check_resumable(Config(), trained)
        return
    with pytest.raises(InputError, match=rf"{key}: .* Put it back"):
        check_resumable(Config(), trained)


def test_the_marks_are_those_of_the_law_and_cover_every_key():
    marks = {".".join(at): mark for at, mark in resume_marks(Config)}
    assert set(KEYS) <= set(marks)
    assert {key for key in KEYS if marks[key] == "free"} == FREE
    assert {key for key in KEYS if marks[key] == "maps_a_step"} == TOGETHER


def test_a_batch_may_be_cut_into_pieces_but_a_step_sees_the_same_maps():
    trained = plain_config(Config.model_validate({"training": {"batch_size": 64}}))
    check_resumable(Config.model_validate({"training": {"batch_size": 16, "accumulate": 4}}), trained)
    with pytest.raises(InputError, match=r"training.accumulate: 1 -> 2; training.batch_size: 64 -> 16"):
        check_resumable(Config.model_validate({"training": {"batch_size": 16, "accumulate": 2}}), trained)


@pytest.mark.parametrize(
    ("at", "free"), [(("sampling", "gone"), True), (("training", "gone"), False), (("gone",), False)]
)
def test_a_key_that_the_schema_no_longer_knows_has_the_mark_of_its_block(at: tuple[str, ...], free: bool):
    trained = trained_with(".".join(at), 1)
    if free:
        check_resumable(Config(), trained)
        return
    with pytest.raises(InputError, match="gone: 1 -> \\(none\\)"):
        check_resumable(Config(), trained)


def test_the_schema_says_what_may_change():
    """In the words that an editor shows; the marks themselves are not part of JSON Schema."""
    schema = json_schema()
    assert "resume" not in {
        key for block in schema["$defs"].values() for rule in block["properties"].values() for key in rule
    }
    for key, info in keys_of(Config).items():
        inner = block_in(info)
        place = schema["properties"] if inner is None else schema["$defs"][inner.__name__]["properties"]
        for name in keys_of(inner) if inner else (key,):
            dotted = name if inner is None else f"{key}.{name}"
            if dotted in KEYS:
                assert ("May change on resume" in place[name]["description"]) == (dotted in FREE | TOGETHER), dotted
