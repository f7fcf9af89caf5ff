"""Errors carry place and keys as fields; no code parses the message."""

import pickle
from pathlib import Path

import pytest
import torch

from focus_engine.config.edit import set_keys
from focus_engine.config.laws import joint_laws
from focus_engine.config.load import all_keys, parse_config
from focus_engine.config.schema import Config
from focus_engine.errors import FocusError, InputError, Problem, is_out_of_memory, lost_gpu
from focus_tui import __main__ as command


def test_a_message_is_made_of_its_problems():
    error = InputError("must be > 0", where="config.yaml:3", keys=("training.lr",))
    assert (str(error), error.key) == ("config.yaml:3: must be > 0", "training.lr")
    error = InputError(problems=[Problem("a"), Problem("b", subject="s", where="w", keys=("k", "l"))])
    assert (str(error), error.key) == ("a\nw: s: b", "k")
    assert (str(FocusError("no disk")), FocusError("no disk").key) == ("no disk", None)


def test_an_error_of_another_process_keeps_its_keys():
    error = InputError("must be > 0", where="config.yaml:3", keys=("training.lr",))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), str(again), again.problems) == (InputError, str(error), error.problems)


@pytest.mark.parametrize(
    ("text", "where", "keys"),
    [
        ("training:\n  lr: -1\n", "c:2", ("training.lr",)),
        ("training:\n  sed: 1\n", "c:2", ("training.sed",)),
        ("training: 3\n", "c:1", ("training",)),
        ("model:\n  out_channels: 2\n", "c:2", ("model.out_channels", "model.in_channels")),
        ("diffusion:\n  timesteps: 10\n", "c:2", ("sampling.ddim_timesteps", "diffusion.timesteps")),
        ("method: flow\nexperiment:\n  method: diffusion\n", "c:1", ("method", "experiment.method")),
        ("training:\n  lr: 1\n  lr: 2\n", "c:3", ("training",)),
    ],
)
def test_a_config_names_the_line_and_the_keys_of_what_is_wrong(text, where, keys):
    with pytest.raises(InputError) as caught:
        parse_config(text, Path("c"))
    (problem,) = caught.value.problems
    assert (problem.where, problem.keys) == (where, keys)


@pytest.mark.parametrize("setting", ["training.lr=[1", "training.sed=1", "training.lr=fast", "lr"])
def test_a_setting_names_its_key(setting):
    with pytest.raises(InputError) as caught:
        set_keys("training: {lr: 1}", [setting], Path("--set"))
    assert caught.value.key == setting.partition("=")[0]


def test_every_law_names_existing_keys():
    known = {".".join(at) for at in all_keys()}
    for _, _, keys in joint_laws(Config(), ()):
        assert keys
        assert set(keys) <= known


LOST = torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronous")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LOST, "the GPU no longer answers (CUDA error: unspecified launch failure): see nvidia-smi and dmesg, and"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory: end other programs, or make smaller batches"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory: end other programs, or"),
    ],
)
def test_a_device_that_fails_is_no_traceback(error: Exception, words: str, monkeypatch, capfd):
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(command, "_dispatch", fail)
    assert command.run(["sample", "x"]) == 1
    assert capfd.readouterr().err.startswith(f"focus: {words}")


def test_other_errors_are_bugs_and_show_where(monkeypatch):
    def fail(_: object) -> int:
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(command, "_dispatch", fail)
    with pytest.raises(RuntimeError, match="sizes"):
        command.run(["sample", "x"])
    assert not is_out_of_memory(RuntimeError("sizes do not match"))
    assert lost_gpu(RuntimeError("CUDA error")) == ""
