"""The guides are correct: their commands and Python code run, and their links resolve."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from focus_engine.launch.state import summarise
from focus_engine.runs.folder import list_runs
from focus_tui.__main__ import run as focus

HOME = Path(__file__).parent.parent
DOCS = HOME / "docs"
PAGES = sorted(DOCS.glob("*.md"))
EVERY_PAGE = [HOME / "README.md", HOME / "README.ko.md", *PAGES]

TINY = {
    "data.simulations": 8,
    "data.grid": 8,
    "data.map_size": 16,
    "data.maps_per_simulation": 6,
    "data.train_split": 0.5,
    "model.base_channels": 4,
    "model.channel_mults": [1],
    "model.time_dim": 16,
    "training.num_epochs": 2,
    "training.batch_size": 24,
    "training.sample_every": 0,
    "sampling.ddim_timesteps": 3,
    "device": "cpu",
}
"""Settings of every experiment that a page creates, so that a page takes seconds."""


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = (line.split("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith("focus ")]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a working folder with the files that the pages mention."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("FOCUS_EXPERIMENTS", raising=False)
    (tmp_path / "experiments").mkdir()
    draw = np.random.default_rng(0)
    np.save("Maps_Mcdm_IllustrisTNG_LH_z=0.00.npy", (10 ** draw.normal(11, 0.3, (120, 16, 16))).astype(np.float32))
    np.save("Maps_HI_IllustrisTNG_LH_z=0.00.npy", (10 ** draw.normal(7, 0.6, (120, 16, 16))).astype(np.float32))
    ranges = ((0.1, 0.6, 0.25, 0.25, 0.5, 0.5), (0.5, 1.0, 4, 4, 2, 2))
    np.savetxt("params_LH_IllustrisTNG.txt", draw.uniform(*ranges, (8, 6)), fmt="%.5f")
    return tmp_path


def run_command(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0] == "new" and "--from" not in words:
        epochs = {} if any(word.startswith("training.num_epochs") for word in words) else {"training.num_epochs": 2}
        tiny = {key: value for key, value in (TINY | epochs).items() if key != "training.num_epochs"} | epochs
        given = [word for key, value in tiny.items() for word in ("--set", f"{key}={value}")]
        words += given
    assert focus(words) == 0, line


@pytest.mark.process
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("page", ["first_hour.md", "own_data.md"])
def test_the_commands_of_a_guide_run_in_their_order(capfd, page):
    for line in commands(DOCS / page):
        run_command(line)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.process
@pytest.mark.usefixtures("home")
def test_the_commands_about_the_queue_run(until):
    queue, *_ = re.findall(r"```sh\n(.*?)```", (DOCS / "clusters.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in queue.splitlines():
        run_command(line)
    runs = list_runs(Path("experiments"))
    assert len(runs) == 3
    until(lambda: {summarise(run).state for run in runs} == {"finished"})


@pytest.mark.process
@pytest.mark.usefixtures("home")
def test_the_commands_about_trained_experiments_run():
    for name, template in (("my_diffusion", "small"), ("my_flow", "small_flow --set sampling.num_steps=2")):
        run_command(f"focus new {name} --template {template} --set training.sample_every=2")
        assert focus(["train", name]) == 0
    for page in ("reading_the_plots.md", "method_selection.md", "reliability.md"):
        assert commands(DOCS / page)
        for line in commands(DOCS / page):
            run_command(line)


@pytest.mark.usefixtures("home")
def test_the_commands_about_judging_run():
    draw = np.random.default_rng(1)
    np.save("emulator.npy", (10 ** draw.normal(11, 0.3, (120, 16, 16))).astype(np.float32))
    Path("emulator_params.txt").write_text(Path("params_LH_IllustrisTNG.txt").read_text())
    (line,) = commands(DOCS / "judging.md")
    run_command(line)
    assert Path("report.html").read_text().count("<h1>") == 1


@pytest.mark.process
@pytest.mark.usefixtures("home")
def test_the_python_of_the_guide_runs(capfd):
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "python_api.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    tiny = ", ".join(f"{key!r}: {value!r}" for key, value in TINY.items())
    code = code.replace('{"training.num_epochs": 2}', "{" + tiny + "}")
    exec(compile(code, "python_api.md", "exec"), {"__name__": "__main__"})  # noqa: S102  (our own guide)
    assert "(4, 1, 16, 16)" in capfd.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_run_by_a_test(page):
    run = {"clusters.md", "first_hour.md", "own_data.md", "judging.md"}
    run |= {"reading_the_plots.md", "method_selection.md", "reliability.md"}
    assert page.name in run or not commands(page)


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.name)
def test_links_resolve(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    for link in links:
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.fixture
def scripts(monkeypatch):
    """Let scripts be imported."""
    monkeypatch.syspath_prepend(str(HOME / "scripts"))


@pytest.mark.usefixtures("scripts")
def test_the_numbers_of_a_page_are_those_of_its_results():
    import reading_page

    results = json.loads(reading_page.RESULTS.read_text(encoding="utf-8"))
    page = reading_page.PAGE.read_text(encoding="utf-8")
    assert reading_page.written(page, results) == page, "run scripts/reading_page.py --write"
    assert len(set(re.findall(r"<!-- (\w+) -->", page))) == len(reading_page.parts(results))


@pytest.mark.usefixtures("scripts")
def test_the_tables_of_the_guides_are_those_of_the_last_benchmarks():
    import benchmark_pages

    for name, tables in benchmark_pages.TABLES.items():
        page = (benchmark_pages.DOCS / name).read_text(encoding="utf-8")
        assert benchmark_pages.written(page, tables) == page, "run scripts/benchmark_pages.py"


@pytest.mark.usefixtures("scripts")
def test_the_tables_of_choices_and_samplers_are_those_of_their_measurements():
    import method_comparison
    import training_ablation

    kept = json.loads(training_ablation.RESULTS.read_text(encoding="utf-8"))["rows"]
    assert training_ablation.measured().keys() == kept.keys(), "settings have changed: measure these rows again"
    page = training_ablation.PAGE.read_text(encoding="utf-8")
    assert training_ablation.written(page, training_ablation.measured()) == page, "run training_ablation.py --write"
    page = method_comparison.PAGE.read_text(encoding="utf-8")
    found = json.loads(method_comparison.RESULTS.read_text(encoding="utf-8"))
    assert method_comparison.written(page, found) == page, "run method_comparison.py --write"


@pytest.mark.usefixtures("scripts")
def test_the_reference_pages_are_up_to_date():
    import write_reference

    for name, text in write_reference.pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"run scripts/write_reference.py ({name})"


def test_the_messages_of_troubleshooting_are_printed_by_the_code():
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for tree in ("focus_engine", "focus_tui")
        for path in (HOME / tree).rglob("*.py")
    )
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    quoted = re.findall(
        r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert len(quoted) > 10
    for words in quoted:
        assert words in joined or words == "became nan", words


def test_both_readmes_have_the_same_commands_and_pictures():
    english, korean = ((HOME / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
    for pattern in (r"```.*?```", r"!\[[^\]]*\]\(([^)]+)\)"):
        assert re.findall(pattern, english, flags=re.DOTALL) == re.findall(pattern, korean, flags=re.DOTALL)
