"""The configuration of an experiment: typed, frozen, complete.

Each key is defined once, in a block of `focus_engine.config.blocks`, with its type, range, default and description. The
template, the JSON Schema and the reference are generated from these classes. `load` and `edit` read and edit the YAML;
code below the loader never meets a missing key.
"""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from focus_engine.config.block import FREE, Block
from focus_engine.config.blocks.data import PARAMETER_NAMES, DataBlock
from focus_engine.config.blocks.model import ModelBlock
from focus_engine.config.blocks.process import DiffusionBlock, EdmBlock, FlowMatchingBlock
from focus_engine.config.blocks.sampling import SamplingBlock
from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.config.blocks.worker import WorkerBlock
from focus_engine.config.laws import JointError, joint_laws
from focus_engine.config.methods import DEFAULT_METHOD, METHODS, method_named, method_words

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(METHODS)]


class ExperimentBlock(Block):
    """What the experiment is, for people."""

    name: str = Field("", description="Name shown in lists; the folder's name when empty.")
    description: str = Field("", description="One line about the purpose of the experiment.")
    created: str = Field("", description="When it was made (ISO date).")


class NotifyBlock(Block):
    """Who is told when a run ends, stalls or is lost."""

    command: str | None = Field(
        None,
        examples=['echo "$FOCUS_NAME $FOCUS_STATE" | mail -s FOCUS me@example.org'],
        description="Shell command run when a run ends, stalls or is lost, with FOCUS_NAME, FOCUS_STATE and "
        "FOCUS_REASON set; left out, notify.command of the settings file (~/.config/focus/tui.yaml).",
    )


class Config(Block):
    """One experiment, whole."""

    experiment: ExperimentBlock = Field(ExperimentBlock(), json_schema_extra=FREE)
    method: MethodName = Field(DEFAULT_METHOD, description=f"{method_words()}.")
    data: DataBlock = DataBlock()
    model: ModelBlock = ModelBlock()
    diffusion: DiffusionBlock = DiffusionBlock()
    flow_matching: FlowMatchingBlock = FlowMatchingBlock()
    edm: EdmBlock = EdmBlock()
    training: TrainingBlock = TrainingBlock()
    sampling: SamplingBlock = Field(SamplingBlock(), json_schema_extra=FREE)
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto (the GPU with most free memory, else cpu), cpu, cuda, cuda:1 or mps.",
        json_schema_extra=FREE,
    )
    worker: WorkerBlock = Field(WorkerBlock(), json_schema_extra=FREE)
    notify: NotifyBlock = Field(NotifyBlock(), json_schema_extra=FREE)

    @model_validator(mode="before")
    @classmethod
    def _read_old_spellings(cls, data: Any) -> Any:  # noqa: ANN401  (pydantic hands over whatever was parsed)
        """Fill what follows from other keys: the method's two places, the data source, the method's sampler."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        experiment = data.get("experiment")
        if isinstance(experiment, dict) and "method" in experiment:
            experiment = dict(experiment)
            inner = experiment.pop("method")
            data["experiment"] = experiment
            if method_named(data.get("method", inner)) != method_named(inner):
                words = f"method is {data['method']!r} but experiment.method is {inner!r}: keep one of them"
                raise JointError(words, "method", "experiment.method")
            data["method"] = inner
        if "method" in data:
            data["method"] = method_named(data["method"])
        block = data.get("data")
        if isinstance(block, dict) and "source" not in block and ("maps_path" in block or "data_dir" in block):
            data["data"] = {**block, "source": "files"}
        method, sampling = data.get("method"), data.get("sampling", {})
        if isinstance(method, str) and method in METHODS and isinstance(sampling, dict):
            data["sampling"] = {"method": METHODS[method].sampler, **sampling}
        return data

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Check the laws that join two keys; each message names both."""
        for holds, message, keys in joint_laws(self, PARAMETER_NAMES):
            if not holds:
                raise JointError(message, *keys)
        return self


def plain_config(config: Config) -> dict[str, Any]:
    """Return the whole config as plain data, keys spelled as in the file."""
    return config.model_dump(mode="json", by_alias=True)
