"""The report of a judgement as a file: JSON, PNG, PDF or HTML, from the same frozen result as the terminal."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.atomic import write_atomically
from focus_engine.figures.html_report import html_page
from focus_engine.figures.pages import draw_evaluation
from focus_engine.statistics.compare import Evaluation
from focus_engine.units import SURFACE_DENSITY
from focus_engine.version import __version__


@dataclass(frozen=True, eq=False)
class Report:
    """What a report shows.

    Attributes:
        title: its title.
        evaluation: the scores and curves.
        document: the JSON document.
        real: (n, C, H, W) some real maps.
        generated: (n, C, H, W) generated maps at the same parameters.
        params: (n, P) their parameters; P may be 0.
        param_names: (P,) names of the parameters.
        units: (C,) unit of each field.
        fields: (C,) names of the fields; empty if there is one without a name.
        notes: what was assumed or left out, in sentences.
        provenance: what was compared and how, by name; nested mappings are allowed.
        config: the config as YAML text; empty if there is none.
    """

    title: str
    evaluation: Evaluation
    document: Mapping[str, Any]
    real: NDArray[Any]
    generated: NDArray[Any]
    params: NDArray[Any]
    param_names: Sequence[str] = ()
    units: Sequence[str] = (SURFACE_DENSITY,)
    fields: Sequence[str] = ()
    notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""


def versions() -> dict[str, str]:
    """Return the versions that a report states."""
    return {"focus": __version__, "python": platform.python_version(), "numpy": np.__version__}


def write_report(path: Path, report: Report) -> None:
    """Write a report atomically; the suffix of `path` (.json, .png, .pdf or .html) sets its form. Raises OSError."""
    if path.suffix in {".png", ".pdf"}:
        draw_evaluation(
            path,
            report.evaluation,
            real=report.real,
            generated=report.generated,
            params=report.params,
            param_names=report.param_names,
            units=report.units,
            fields=report.fields,
            title=report.title,
        )
        return
    text = (
        html_text(report) if path.suffix == ".html" else json.dumps(report.document, indent=1, allow_nan=False) + "\n"
    )
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def html_text(report: Report) -> str:
    """Return the report as one HTML page without outside links."""
    return html_page(
        report.title,
        report.evaluation,
        maps=(report.real, report.generated),
        params=(report.params, report.param_names),
        units=report.units,
        notes=report.notes,
        provenance={**report.provenance, "versions": versions()},
        config=report.config,
    )
