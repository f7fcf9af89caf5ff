"""Creating experiments: complete or not at all, never over a folder, from a template or another experiment."""

import os
import re
import shutil
import stat
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest

from focus_engine.config.load import load_config
from focus_engine.errors import InputError
from focus_engine.runs.create import adopt_config, create_experiment, rebase_paths
from focus_engine.runs.folder import RunFolder

REPOSITORY = Path(__file__).parents[2]


def tree(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_an_experiment_has_all_that_it_needs(tmp_path):
    run = create_experiment(tmp_path / "experiments", "한글 실험", created="2026-01-02")
    assert sorted(path.name for path in run.path.iterdir()) == sorted(
        ["README.ko.md", "README.md", "checkpoints", "config.yaml", "figs", "logs", "run_model.sh", "samples"]
    )
    config = load_config(run.config).config
    assert (config.experiment.name, config.experiment.created) == ("한글 실험", "2026-01-02")
    first = run.config.read_text(encoding="utf-8").splitlines()[0]
    schema = re.fullmatch(r"# yaml-language-server: \$schema=(.*)", first)[1]
    assert (run.path / schema).is_file()
    assert (run.path / "run_model.sh").stat().st_mode & stat.S_IXUSR
    for name in ("README.md", "README.ko.md"):
        text = (run.path / name).read_text(encoding="utf-8")
        assert "Epoch 1/200 [WARMUP]" in text
        assert "$" not in text.replace("$arg", "")
        assert "focus start '한글 실험'" in text
    assert tree(tmp_path / "experiments")[0] == ".focus"
    assert not [name for name in run.path.parent.iterdir() if name.name.startswith(".new")]


@pytest.mark.parametrize("method", ["diffusion", "flow"])
def test_a_shipped_experiment_is_what_the_template_makes(tmp_path, method):
    shipped = RunFolder(REPOSITORY / "experiments" / f"experiment_{method}")
    created = load_config(shipped.config).config.experiment.created
    fresh = create_experiment(tmp_path, shipped.name, method=method, created=created)
    for name in ("config.yaml", "README.md", "README.ko.md", "run_model.sh"):
        assert (shipped.path / name).read_text(encoding="utf-8") == (fresh.path / name).read_text(encoding="utf-8")
    assert os.access(shipped.path / "run_model.sh", os.X_OK)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("../up", {}, "cannot name"),
        ("ok", {"template": "huge"}, "allowed: diffusion, small"),
        ("ok", {"method": "flows"}, "is unknown"),
        ("ok", {"method": "gan"}, "unknown"),
        ("ok", {"settings": ["training.lr=fast"]}, "must be a number"),
        ("ok", {"settings": ["training.lrr=1"]}, "did you mean"),
        ("ok", {"settings": ["method=flow", "sampling.method=ddim"]}, "does not fit method: flow"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, name, options, words):
    with pytest.raises(InputError, match=words):
        create_experiment(tmp_path / "experiments", name, **options)
    assert tree(tmp_path) == []


def test_nothing_is_ever_overwritten(tmp_path):
    run = create_experiment(tmp_path, "a")
    before = run.config.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        create_experiment(tmp_path, "a", settings=["training.lr=1e-3"])
    assert run.config.read_bytes() == before
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("empty", "file", "dangling"):
        with pytest.raises(InputError, match="exists already and is not an experiment"):
            create_experiment(tmp_path, name)
    with pytest.raises(InputError, match="is not a folder"):
        create_experiment(tmp_path / "file", "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_place_is_the_disks_fault(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        create_experiment(tmp_path / "experiments", "a")


def _make(root, gate, results):
    gate.wait()
    try:
        create_experiment(root, "same")
        results.put("made")
    except InputError as error:
        results.put(str(error))


@pytest.mark.process
def test_of_two_at_once_one_is_refused(tmp_path):
    context = get_context("fork")
    gate, results = context.Barrier(2), context.Queue()
    makers = [context.Process(target=_make, args=(tmp_path, gate, results)) for _ in range(2)]
    for maker in makers:
        maker.start()
    said = sorted((results.get(timeout=30) for _ in makers), key=len)
    for maker in makers:
        maker.join()
    assert said[0] == "made"
    assert "exists already" in said[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".focus", "same"]


def data_config(run, maps_path, params_path, extra=""):
    text = f"# mine\ndata:  # here\n  maps_path: {maps_path}  # maps\n  params_path: {params_path}\n{extra}"
    run.config.write_text(text, encoding="utf-8")


def test_from_keeps_comments_and_what_paths_mean(tmp_path):
    source = create_experiment(tmp_path / "experiments", "source", settings=["training.lr=3e-4"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "m.npy").touch()
    (source.path / "p.txt").touch()
    data_config(source, "../../data/m.npy", "p.txt")
    copy = create_experiment(tmp_path / "elsewhere" / "deep", "copy", source=source)
    text = copy.config.read_text(encoding="utf-8")
    assert text.startswith("# mine\ndata:  # here\n")
    assert "# maps\n" in text
    data = load_config(copy.config).config.data
    assert (copy.path / data.maps_path).resolve() == (tmp_path / "data" / "m.npy").resolve()
    assert (copy.path / data.params_path).resolve() == (source.path / "p.txt").resolve()
    assert load_config(copy.config).config.experiment.name == "copy"


def test_from_and_set_work_together(tmp_path):
    source = create_experiment(tmp_path, "source", template="small")
    copy = create_experiment(tmp_path, "copy", source=source, settings=["diffusion.schedule=linear"])
    old, new = (run.config.read_text(encoding="utf-8").splitlines() for run in (source, copy))
    changed = [line.split()[0] for line, other in zip(new, old, strict=True) if line != other]
    assert changed == ["name:", "schedule:"]
    with pytest.raises(InputError, match="leave --template"):
        create_experiment(tmp_path, "b", source=source, template="small")


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ("maps_path: /abs/m.npy\n  params_path: /abs/p.txt", True),
        ("data_dir: /abs\n  maps_path: m.npy\n  params_path: p.txt", True),
        ("simulations: 3", True),
        ("data_dir: sets", False),
        ("maps_path: m.npy\n  params_path: p.txt", False),
    ],
)
def test_only_relative_paths_are_rewritten(tmp_path, data, kept):
    text = f"data:\n  {data}\n"
    moved = rebase_paths(text, tmp_path / "a", tmp_path / "b" / "c")
    assert (moved == text) is kept
    assert rebase_paths(text, tmp_path / "a", tmp_path / "a") == text
    if not kept:
        assert "../../a/" in moved


def test_a_config_is_adopted_once(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("# mine\ntraining: {lr: 1e-3}\n", encoding="utf-8")
    run = adopt_config(file, tmp_path / "runs" / "a")
    assert run.config.read_bytes() == file.read_bytes()
    assert adopt_config(file, run.path) == run
    assert adopt_config(run.config, run.path) == run
    file.write_text("training: {lr: 1e-4}\n", encoding="utf-8")
    with pytest.raises(InputError, match="exists already and differs"):
        adopt_config(file, run.path)
    assert "1e-3" in run.config.read_text(encoding="utf-8")


def test_an_adopted_config_finds_its_data(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("data: {maps_path: m.npy, params_path: p.txt}\n", encoding="utf-8")
    run = adopt_config(file, tmp_path / "runs" / "a")
    assert load_config(run.config).config.data.maps_path == "../../m.npy"
    assert adopt_config(file, run.path) == run


def test_a_wrong_config_is_not_adopted(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("training: {lr: fast}\n", encoding="utf-8")
    with pytest.raises(InputError, match="must be a number"):
        adopt_config(file, tmp_path / "a")
    with pytest.raises(InputError, match="no such config"):
        adopt_config(tmp_path / "none.yaml", tmp_path / "a")
    file.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is not a folder"):
        adopt_config(file, file)
    assert tree(tmp_path) == ["my.yaml"]


@pytest.fixture
def script(tmp_path):
    run = create_experiment(tmp_path / "experi ments", "a b")
    echo = tmp_path / "bin" / "python"
    echo.parent.mkdir()
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    echo.chmod(0o755)
    shutil.copy(echo, echo.parent / "focus")
    return run.path / "run_model.sh", run, echo


def call(script, cwd, *arguments, **environment):
    names = {key: value for key, value in os.environ.items() if key not in {"CONFIG", "EXP_DIR", "PYTHON"}}
    done = subprocess.run(
        [script, *arguments], cwd=cwd, env=names | environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_the_script_works_from_any_folder(script, tmp_path):
    path, run, echo = script
    code, said, _ = call(path, tmp_path, PATH=f"{echo.parent}:{os.environ['PATH']}")
    assert (code, said) == (0, ["train", "--config", str(run.config), "--exp_dir", str(run.path)])
    _, said, _ = call("./run_model.sh", run.path, "--gpu", "1", PYTHON=str(echo), CDPATH="/")
    assert said == ["-m", "focus_tui", "train", "--config", str(run.config), "--exp_dir", str(run.path), "--gpu", "1"]


def test_the_script_honours_its_environment(script, tmp_path):
    path, _, echo = script
    _, said, _ = call(path, tmp_path, PYTHON=str(echo), CONFIG="other.yaml", EXP_DIR="/scratch/x")
    assert said == ["-m", "focus_tui", "train", "--config", "other.yaml", "--exp_dir", "/scratch/x"]


def test_the_script_says_when_focus_is_missing(script, tmp_path):
    path, _, _ = script
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "env"):
        (tools / name).symlink_to(shutil.which(name))
    code, _, said = call(path, tmp_path, PATH=str(tools))
    assert code == 2
    assert "set PYTHON" in said


def test_the_script_is_plain_bash(script):
    assert subprocess.run(["bash", "-n", script[0]], check=False).returncode == 0
    assert sys.platform != "win32"


@pytest.mark.parametrize(
    ("language", "locale", "korean"),
    [("ko", "en_US.UTF-8", True), ("en", "ko_KR.UTF-8", False), (None, "ko_KR.UTF-8", True), (None, "C", False)],
)
def test_the_readme_speaks_the_language_asked_for_else_that_of_the_locale(
    tmp_path, monkeypatch, language, locale, korean
):
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", locale)
    run = create_experiment(tmp_path, "mine", language=language)
    assert ("입니다" in (run.path / "README.md").read_text(encoding="utf-8")) is korean
    other = run.path / ("README.en.md" if korean else "README.ko.md")
    assert ("입니다" in other.read_text(encoding="utf-8")) is not korean


def test_an_unknown_language_is_refused_and_nothing_is_made(tmp_path):
    with pytest.raises(InputError, match="--lang 'fr' is unknown; allowed: en, ko"):
        create_experiment(tmp_path, "mine", language="fr")
    assert not (tmp_path / "mine").exists()
