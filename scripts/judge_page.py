"""Results of the trials of the judge: benchmarks/results/judge_power.json and docs/judge_power.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from judge_faults import FAULTS, Fault

from focus_engine.config.statistics import STATISTICS

LEVEL = 0.05
ENOUGH = 0.9
"""Power from which a fault counts as caught."""

TITLES = {"150": "150 maps", "1500": "1,500 maps", "cv": "450 maps, 3 simulations per point"}
Outcome = Mapping[str, Any]


def write_results(outcomes: Sequence[Outcome], universes: int, home: Path) -> None:
    """Write the summary of the outcomes as JSON, and the page of the docs; generators without outcomes stay."""
    document = summary(outcomes, universes)
    file = home / "benchmarks" / "results" / "judge_power.json"
    before = json.loads(file.read_text(encoding="utf-8"))["sizes"] if file.is_file() else {}
    sizes = [size for size in TITLES if size in before or size in document["sizes"]]
    document["sizes"] = {size: before.get(size, {}) | document["sizes"].get(size, {}) for size in sizes}
    file.write_text(json.dumps(_rounded(document), indent=1) + "\n", encoding="utf-8")
    (home / "docs" / "judge_power.md").write_text(page(document), encoding="utf-8")


def summary(outcomes: Sequence[Outcome], universes: int) -> dict[str, Any]:
    """Return by size and generator: trials, rate of the verdict and, by score, rates before and after correction."""
    found: dict[str, Any] = {}
    for size in TITLES:
        for fault in FAULTS:
            own = [one for one in outcomes if one["fault"] == fault.name and one["size"] == size]
            if own:
                found.setdefault(size, {})[fault.name] = _rates(own)
    return {"level": LEVEL, "universes_per_point": universes, "sizes": found}


def _rates(own: Sequence[Outcome]) -> dict[str, Any]:
    names = [name for name, value in own[0]["p"].items() if value is not None]
    alarms = sum(one["verdict"] is not None and one["verdict"] < LEVEL for one in own)
    caught = {name: sum(name in one["caught"] for one in own) / len(own) for name in names}
    uncorrected = {name: _share(own, name, lambda p: p < LEVEL) for name in names}
    return {
        "trials": len(own),
        "verdict": alarms / len(own),
        "interval": interval(alarms, len(own)),
        "corrected": caught,
        "uncorrected": uncorrected,
        "smallest_p": {name: min(one["p"][name] for one in own if one["p"][name] is not None) for name in names},
    }


def _rounded(value: Any) -> Any:  # noqa: ANN401 - JSON is recursive
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _share(own: Sequence[Outcome], name: str, holds: Callable[[float], bool]) -> float:
    known = [one["p"][name] for one in own if one["p"][name] is not None]
    return sum(map(holds, known)) / len(known)


def interval(count: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Clopper and Pearson)."""
    from scipy.stats import binomtest  # a second of CPU, which most readers of this file do without

    low, high = binomtest(count, trials).proportion_ci(0.95, method="exact")
    return round(float(low), 4), round(float(high), 4)


def page(document: Mapping[str, Any]) -> str:
    """Return the page of the docs."""
    sizes = document["sizes"]
    universes = document["universes_per_point"]
    return "\n".join(
        [
            "# The judge, judged",
            "",
            "How often `focus judge` calls a perfect generator distinguishable, and how often it catches a generator",
            "with a known fault. Written by `scripts/judge_power.py`.",
            "",
            f"Universes of 32³ particles in a box of 25 Mpc/h at 100 parameter points, {universes} at each and one",
            "more for training; 15 maps of 64² of each. A trial takes another universe at each point as the real one;",
            "a generator draws its 15 maps of a point from the others. 150 maps are those of 10 points. Trials share",
            "the universes, so that they are not quite independent.",
            "Maps of one universe resemble each other: with few universes a perfect generator varies a little more",
            "than one that draws each map independently, for which the null is.",
            "",
            "## False alarms",
            "",
            *_alarms(sizes),
            "",
            "## Faults caught",
            "",
            "Share of trials in which the whole verdict catches the fault (p < 0.05 after Holm's correction), and the",
            f"scores that do so most often. {_fewest_trials(sizes)} trials or more of each.",
            "",
            *_faults(sizes),
            "",
            *_missed(sizes),
            "",
            "## Every score",
            "",
            *_matrices(sizes),
        ]
    )


def _alarms(sizes: Mapping[str, Any]) -> list[str]:
    """Return the false alarm rates of the verdict, and of each score before the correction."""
    columns = [(size, fault) for size in sizes for fault in FAULTS if fault.perfect and fault.name in sizes[size]]
    cells = [sizes[size][fault.name] for size, fault in columns]
    heads = [f"{'grouped, ' if fault.choice == 'grouped' else ''}{TITLES[size]}" for size, fault in columns]
    lines = [
        "A score is counted where its own p < 0.05, without correction. In brackets: 95 % interval of the rate of the",
        "verdict, which holds 5 % if the judge keeps its level (Holm's correction makes it lower where scores agree).",
        "",
        _row("", *heads),
        _rule(len(heads)),
        _row("trials", *(str(cell["trials"]) for cell in cells)),
        _row("**verdict**", *(f"{_percent(cell['verdict'])} ({_range(cell['interval'])})" for cell in cells)),
    ]
    return lines + [_row(name, *(_percent(cell["uncorrected"].get(name)) for cell in cells)) for name in _names(cells)]


def _faults(sizes: Mapping[str, Any]) -> list[str]:
    shown = [size for size in sizes if size != "cv"]
    lines = [_row("generator", *(TITLES[size] for size in shown), "caught by"), _rule(len(shown) + 1)]
    for fault in _wrong(sizes):
        cells = [sizes[size].get(fault.name) for size in shown]
        rates = ["-" if cell is None else _percent(cell["verdict"]) for cell in cells]
        best = {} if cells[-1] is None else cells[-1]["corrected"]
        names = [name for name, rate in sorted(best.items(), key=lambda item: -item[1]) if rate > 0]
        lines.append(_row(fault.words, *rates, ", ".join(f"`{name}`" for name in names[:3]) or "-"))
    return lines


def _fewest_trials(sizes: Mapping[str, Any]) -> int:
    return min(
        (found[fault.name]["trials"] for fault in _wrong(sizes) for found in sizes.values() if fault.name in found),
        default=0,
    )


def _missed(sizes: Mapping[str, Any]) -> list[str]:
    largest = sizes.get("1500", {})
    missed = [
        f"{fault.words} ({_percent(largest[fault.name]['verdict'])})"
        for fault in _wrong(sizes)
        if fault.name in largest and largest[fault.name]["verdict"] < ENOUGH
    ]
    if not missed:
        return ["At 1,500 maps every fault is caught in at least 90 % of the trials."]
    return [f"At 1,500 maps, not caught in 90 % of the trials: {'; '.join(missed)}."]


def _matrices(sizes: Mapping[str, Any]) -> list[str]:
    """Return for each size the table of scores by faults, after the correction."""
    lines = ["Power of each score after Holm's correction over all [%]. The key of each fault is that of the JSON."]
    for size in (name for name in sizes if name != "cv"):
        faults = [fault for fault in FAULTS if fault.name in sizes[size]]
        cells = [sizes[size][fault.name] for fault in faults]
        lines += ["", f"### {TITLES[size]}", "", _row("", *(fault.name.replace("_", " ") for fault in faults))]
        lines += [_rule(len(faults)), _row("**verdict**", *(_whole(cell["verdict"]) for cell in cells))]
        lines += [_row(name, *(_whole(cell["corrected"].get(name)) for cell in cells)) for name in _names(cells)]
    return [*lines, ""]


def _wrong(sizes: Mapping[str, Any]) -> list[Fault]:
    return [fault for fault in FAULTS if not fault.perfect and any(fault.name in found for found in sizes.values())]


def _names(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = [score.key for spec in STATISTICS.values() for score in spec.scores]
    return [key for key in keys if any(key in cell["uncorrected"] for cell in cells)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "| --- |" + " --- |" * columns


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.0f} %"


def _whole(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.0f}"


def _range(ends: Sequence[float]) -> str:
    return f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"
