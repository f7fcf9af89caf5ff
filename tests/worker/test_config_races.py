"""A config.yaml that others replace while it is read: what is checked is what was read."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from other_users import ALICE

from focus_engine.config.load import load_config
from focus_engine.errors import FocusError
from focus_engine.launch.notify import _command_of
from focus_engine.runs.create import adopt_config
from focus_engine.runs.folder import RunFolder
from focus_engine.worker.session import _with_smaller_batches

OWN = "training: {batch_size: 8, on_oom: halve}\n"
SECRET = f"# secret\n{OWN}"
ROUNDS = 300


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "experiments" / "x")
    made.path.mkdir(parents=True)
    made.config.write_text(OWN, encoding="utf-8")
    return made


@contextmanager
def swapped(path: Path, others: list[Path]) -> Iterator[threading.Event]:
    """Let a thread put links to each of `others`, soft and hard, and the text of now, in place of `path`, by turns."""
    done, link, own = threading.Event(), path.with_name("link"), path.with_name("own")
    text = path.read_text(encoding="utf-8")

    def swap() -> None:
        for number in range(ROUNDS):
            for other in others:
                (os.symlink, os.link)[number % 2](other, link)
                link.replace(path)
                own.write_text(text, encoding="utf-8")
                own.replace(path)
        done.set()

    thread = threading.Thread(target=swap, daemon=True)
    thread.start()
    yield done
    thread.join()


def own_text(path: Path, secret: Path) -> str:
    """Return the text of a file; of a link, or of the secret under another name, nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    with os.fdopen(descriptor, encoding="utf-8") as file:
        return "" if os.path.samestat(os.fstat(descriptor), secret.stat()) else file.read()


def test_batches_are_halved_in_no_file_but_the_config(run: RunFolder, tmp_path: Path):
    """Its text is written back to where others may read it, so that a link must not lead to a secret."""
    (secret := tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    config = load_config(run.config).config
    halved = refused = 0
    with swapped(run.config, [secret]) as done:
        while not done.is_set():
            try:
                halved += _with_smaller_batches(run, config) is not None
            except (OSError, FocusError):
                refused += 1
            assert "secret" not in own_text(run.config, secret)
            assert secret.read_text(encoding="utf-8") == SECRET
    assert halved
    assert refused, "no read met a link"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, which gives a file to another user")
def test_no_command_of_another_users_config_is_run_by_a_race(run: RunFolder, tmp_path: Path):
    (hers := tmp_path / "hers.yaml").write_text(f"{OWN}notify: {{command: hers}}\n", encoding="utf-8")
    os.chown(hers, ALICE, ALICE)
    run.config.write_text(f"{OWN}notify: {{command: mine}}\n", encoding="utf-8")
    found, nowhere = set(), os.open(os.devnull, os.O_WRONLY)
    with swapped(run.config, [hers]) as done:
        while not done.is_set():
            found.add(_command_of(run, nowhere))
    os.close(nowhere)
    assert found == {"mine", None}, "the command is of the file whose owner was asked"


def test_a_config_that_is_a_pipe_is_not_waited_for(run: RunFolder, tmp_path: Path):
    (given := tmp_path / "given.yaml").write_text(OWN, encoding="utf-8")
    run.config.unlink()
    os.mkfifo(run.config)
    with pytest.raises(FocusError, match="not an ordinary file"):
        adopt_config(given, run.path)
    with pytest.raises(OSError, match="not an ordinary file"):
        _with_smaller_batches(run, load_config(given).config)
