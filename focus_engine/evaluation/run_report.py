"""The report of an evaluated run (`focus evaluate -o`)."""

from __future__ import annotations

import numpy as np
import yaml

from focus_engine.config.schema import plain_config
from focus_engine.data.opening import spread
from focus_engine.evaluation.sampling import EvaluationResult, report_document
from focus_engine.evaluation.trained_model import TrainedModel
from focus_engine.figures.map_pictures import MAX_PAIRS
from focus_engine.figures.report import Report
from focus_engine.generative.sampling import SamplingPlan
from focus_engine.runs.folder import RunFolder


def run_report(run: RunFolder, evaluated: EvaluationResult, model: TrainedModel, plan: SamplingPlan) -> Report:
    """Return the report of an evaluated run."""
    document = report_document(evaluated.evaluation, model, plan)
    shown = spread(np.arange(len(evaluated.real)), MAX_PAIRS)
    data = {name: model.data[name] for name in ("fingerprint", "map_shape", "units", "param_names")}
    return Report(
        title=f"{run.name}, {model.source.get('file', '')} (epoch {model.source.get('epoch', '?')})",
        evaluation=evaluated.evaluation,
        document=document,
        real=evaluated.real[shown],
        generated=evaluated.generated[shown],
        params=evaluated.params[shown],
        param_names=model.scaler.names,
        units=model.field_units,
        fields=model.field_names,
        provenance={"checkpoint": document["checkpoint"], "sampling": document["sampling"], "data": data},
        config=yaml.safe_dump(plain_config(model.config), sort_keys=False, allow_unicode=True),
    )
