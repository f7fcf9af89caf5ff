"""Shell completion of the names of experiments, without torch."""

import os
import subprocess
import sys

import pytest

PROBE = (
    "import sys; from focus_tui.__main__ import run; code = run([]); "
    "heavy = {'torch', 'numpy', 'textual', 'matplotlib'} & set(sys.modules); "
    "sys.exit(f'imported {heavy}' if heavy else code)"
)


@pytest.fixture
def root(tmp_path):
    """Three experiments."""
    for name in ("diffusion", "diffusion_v", "flow"):
        (tmp_path / "experiments" / name).mkdir(parents=True)
        (tmp_path / "experiments" / name / "config.yaml").touch()
    return tmp_path


def completed(root, typed):
    words = typed.split(" ")
    environment = {
        **os.environ,
        "_FOCUS_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    environment.pop("FOCUS_EXPERIMENTS", None)
    probe = f"import sys; sys.argv = ['focus']; {PROBE}"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert "imported" not in done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("command", ["status", "start", "compare flow", "rm", "tui", "new x --from"])
def test_names_are_completed(root, command):
    assert completed(root, f"focus {command} diff") == ["diffusion", "diffusion_v"]


def test_the_named_experiments_folder_is_searched(root, tmp_path):
    (tmp_path / "other" / "elsewhere").mkdir(parents=True)
    (tmp_path / "other" / "elsewhere" / "config.yaml").touch()
    assert completed(root, f"focus --root {tmp_path}/other status else") == ["elsewhere"]


def test_commands_are_completed(root):
    assert completed(root, "focus sta") == ["start", "status"]
