"""`focus verify`, and what `focus status` says of proofs."""

import json
import os
import re
import zipfile
from pathlib import Path

import pytest

from focus_engine.runs.folder import RunFolder
from focus_engine.runs.proofs import proof_of
from focus_engine.seal import SealedFile

LAST = "checkpoints/checkpoint_last.pt"


def documented() -> set[str]:
    """Return the keys in the last table of docs/events.md."""
    page = Path(__file__).parents[3] / "docs" / "events.md"
    return set(re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8").split("\n## ")[-1], re.MULTILINE))


def write(path: Path, *, sealed: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(200))
    if sealed:
        content = path.read_bytes()
        with path.open("wb") as file:
            writer = SealedFile(file)
            writer.write(content)
            writer.finish()


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


@pytest.fixture
def runs(focus, tmp_path) -> dict[str, RunFolder]:
    for name in ("whole", "broken", "empty"):
        focus("new", name, "--template", "small")
    found = {name: RunFolder(tmp_path / "experiments" / name) for name in ("whole", "broken", "empty")}
    for path in (found["whole"].checkpoint_last, found["whole"].averages / "averages_000000004.pt"):
        write(path)
    write(found["whole"].checkpoint_best, sealed=False)
    write(found["broken"].checkpoint_last)
    damage(found["broken"].checkpoint_last)
    return found


@pytest.mark.usefixtures("runs")
def test_every_file_is_checked_and_damage_is_listed(focus):
    code, out, err = focus("verify", "--all")
    assert code == 1
    assert [line.split()[:2] + line.split()[4:5] for line in out.splitlines()] == [
        ["broken", LAST, "DAMAGED:"],
        ["whole", LAST, "proved:"],
        ["whole", "checkpoints/checkpoint_best.pt", "unproved:"],
        ["whole", "checkpoints/averages/averages_000000004.pt", "proved:"],
    ]
    assert f"1 of 4 files are damaged: broken/{LAST}" in err
    code, out, err = focus("verify", "whole", "whole", "--json")
    assert (code, err) == (0, "")
    assert [(row["name"], row["condition"], row["problem"]) for row in json.loads(out)] == [
        ("whole", "proved", None),
        ("whole", "unproved", None),
        ("whole", "proved", None),
    ]
    code, out, err = focus("verify", "broken", "--json")
    assert (code, json.loads(out)[0]["condition"]) == (1, "damaged")
    assert focus("verify", "empty") == (0, "", "no checkpoints to verify\n")


@pytest.mark.usefixtures("runs")
def test_wrong_arguments(focus):
    assert focus("verify", "whole", "--all")[0] == 2
    assert focus("verify", "nobody")[0] == 2


def proof_line(focus, name: str) -> list[str]:
    return [line for line in focus("status", name)[1].splitlines() if line.startswith("  checkpoints ")]


def test_status_says_when_a_checkpoint_was_proved_until_it_is_written_again(focus, runs):
    run = runs["whole"]
    assert proof_line(focus, "empty") == []
    (line,) = proof_line(focus, "whole")
    assert "last not read since it was written, best unproved (of an earlier FOCUS)" in line
    assert focus("verify", "whole")[0] == 0
    (line,) = proof_line(focus, "whole")
    assert "last proved " in line
    assert "best unproved " in line
    assert line.count(" ago") == 2
    proofs = json.loads(focus("status", "whole", "--json")[1])["checkpoints"]
    assert {kind: proof["condition"] for kind, proof in proofs.items()} == {"last": "proved", "best": "unproved"}
    assert {key for proof in proofs.values() for key in proof} == {"condition", "read"}
    assert set(json.loads(focus("status", "whole", "--json")[1])) <= documented()
    assert proofs["last"]["read"] == proof_of(run, run.checkpoint_last).when
    damage(run.checkpoint_last)
    os.utime(run.checkpoint_last, ns=(0, 1))
    assert "last not read since it was written" in proof_line(focus, "whole")[0]
    focus("verify", "whole")
    assert "last damaged " in proof_line(focus, "whole")[0]


def test_an_unreadable_list_of_proofs_proves_nothing_and_is_replaced(focus, runs):
    run = runs["whole"]
    for content in ("", "[]", '{"checkpoint_last.pt": 3}', "[" * 100_000, '{"a": {"condition": "x"}}'):
        (run.checkpoints / "proofs.json").write_text(content, encoding="utf-8")
        assert proof_of(run, run.checkpoint_last) is None
        assert focus("verify", "whole")[0] == 0
        proof = proof_of(run, run.checkpoint_last)
        assert proof is not None
        assert proof.condition == "proved"
