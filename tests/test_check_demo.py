"""The gate of the demo in CI: what passes, what fails, and that a score that is missing is no pass."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/check_demo.py"
LIMITS: dict[tuple[str, str], float] = runpy.run_path(str(SCRIPT))["LIMITS"]
ERROR, SPREAD = 0.03, 0.04
CHANCE = 3.3 * 0.05


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Run the script on the report of a perfect model, but for the scores `changed`."""
    scores = [
        {"statistic": one, "name": name, "value": 0.5, "null": 0.5, "error": ERROR, "null_spread": SPREAD}
        for one, name in LIMITS
    ]
    for row in scores:
        row.update(changed.get(f"{row['statistic']}_{row['name']}", {}))
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"scores": scores, "verdict": {"text": "as the judge says"}}))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(path)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_a_perfect_model_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    check(tmp_path, monkeypatch)
    assert "as the judge says" in capsys.readouterr().out


@pytest.mark.parametrize("at", LIMITS, ids=".".join)
@pytest.mark.parametrize("side", [-1, 1])
def test_each_score_fails_by_itself_beyond_its_limit_and_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: tuple[str, str], side: int
):
    just = 0.5 + side * (LIMITS[at] + CHANCE)
    check(tmp_path, monkeypatch, **{"_".join(at): {"value": just - side * 1e-6}})
    with pytest.raises(SystemExit, match=f"not good enough: {'.'.join(at)}$"):
        check(tmp_path, monkeypatch, **{"_".join(at): {"value": just + side * 1e-6}})


@pytest.mark.parametrize("part", ["value", "null", "error"])
def test_a_score_that_could_not_be_measured_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str):
    with pytest.raises(SystemExit, match=r"not good enough: pdf\.w1"):
        check(tmp_path, monkeypatch, pdf_w1={part: None})
