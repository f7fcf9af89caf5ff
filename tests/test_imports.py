"""The imports of each tier in a fresh interpreter; `make check` tests the same with import-linter."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "matplotlib", "textual", "plotext", "rich"}


def loaded(code):
    """Return the top-level modules that a fresh interpreter has loaded after running `code`."""
    report = "import sys; print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_the_light_tier_has_no_torch_and_no_numpy():
    modules = loaded(
        "import focus_engine.config.edit, focus_engine.config.json_schema, focus_engine.config.templates\n"
        "import focus_engine.events.table\n"
        "import focus_engine.runs.create, focus_engine.launch.start, focus_engine.launch.state"
    )
    assert not modules & (HEAVY | {"numpy", "typer"})


def test_runs_are_listed_without_pydantic():
    modules = loaded(
        "import focus_engine.launch.start, focus_engine.launch.state, focus_engine.events.epoch_block\n"
        "import focus_tui.cli.listing, focus_tui.cli.run_table, focus_tui.view.follow, focus_tui.view.words"
    )
    assert not modules & (HEAVY | {"numpy", "typer", "pydantic", "yaml"})


def test_a_worker_writes_its_first_event_without_torch_numpy_and_pydantic():
    modules = loaded("import focus_engine.worker.__main__, focus_engine.launch.notify, focus_engine.worker.stop")
    assert not modules & (HEAVY | {"numpy", "typer", "pydantic", "yaml"})


def test_settings_need_no_pydantic_and_yaml_only_if_there_is_a_file(tmp_path):
    code = "from pathlib import Path; from focus_tui.dashboard.settings import load_settings; load_settings(Path({!r}))"
    file = tmp_path / "tui.yaml"
    assert not loaded(code.format(str(file))) & (HEAVY | {"numpy", "typer", "pydantic", "yaml"})
    file.write_text("sort: -val\nfilters: {good: pk<5%}\n", encoding="utf-8")
    assert not loaded(code.format(str(file))) & (HEAVY | {"numpy", "typer", "pydantic"})


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "--json"], ["status", "a"]])
def test_focus_ls_and_status_need_neither_typer_nor_pydantic(tmp_path, arguments):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.yaml").touch()
    modules = loaded(
        f"from focus_tui.__main__ import run; assert run(['--root', {str(tmp_path)!r}, *{arguments}]) == 0"
    )
    assert not modules & (HEAVY | {"numpy", "typer", "pydantic", "yaml"})


def test_help_needs_no_event_table():
    code = "import sys; from focus_tui.__main__ import run; run(['--help']); "
    assert not loaded(code + "assert 'focus_engine.events' not in sys.modules") & (HEAVY | {"pydantic"})


def test_the_first_frame_of_the_dashboard_needs_no_numpy():
    modules = loaded("import focus_tui.dashboard.app, focus_tui.cli.plain")
    assert not modules & (HEAVY - {"textual", "rich"} | {"numpy", "typer", "pydantic", "yaml"})


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["status", "--help"],
        ["config", "schema"],
        ["sample", "x", "--eta", "3"],
        ["verify", "x.safetensors"],
    ],
)
def test_other_commands_start_without_torch(arguments):
    modules = loaded(f"from focus_tui.__main__ import run; run({arguments})")
    assert not modules & (HEAVY | {"numpy"})


def test_power_needs_numpy_alone(tmp_path):
    modules = loaded(
        "import numpy as np\n"
        f"np.save({str(tmp_path / 'm.npy')!r}, np.ones((2, 8, 8)) + np.eye(8))\n"
        f"from focus_tui.__main__ import run; assert run(['power', {str(tmp_path / 'm.npy')!r}, '--json']) == 0"
    )
    assert not modules & HEAVY


def test_statistics_need_no_torch():
    modules = loaded("import focus_engine.statistics.compare, focus_engine.statistics.maps_file")
    assert not modules & (HEAVY | {"typer"})


def test_mathematics_needs_no_terminal_and_shapes_of_networks_no_compiler():
    modules = loaded(
        "import focus_engine.training.loop, focus_engine.simulation.universes, focus_engine.generative.sampling\n"
        "import focus_engine.worker.rank\n"
        "from focus_engine.config.templates import template_config\n"
        "from focus_engine.models.build import shape_of_network\n"
        "for network in ('SimpleUNet', 'DiT', 'Swin'):\n"
        "    shape_of_network(template_config('small', {'model.from': network}).model)"
    )
    assert "torch" in modules
    assert "sympy" not in modules  # which the compiler of torch imports
    assert not modules & {"matplotlib", "typer", "plotext", "textual", "focus_tui"}
