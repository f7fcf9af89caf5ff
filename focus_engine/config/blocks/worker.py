"""The block `worker`: what the process that trains does when its work hangs."""

from typing import Literal

from pydantic import Field

from focus_engine.config.block import FREE, Block, PositiveFloat


class WorkerBlock(Block):
    """The process that trains, and when it counts as stalled."""

    stall_minutes: PositiveFloat | None = Field(
        None,
        examples=[30],
        description="Minutes without a step (or a batch of validation, a step of a sampler) from which a run is "
        "stalled; left out: 20 median steps, at least 10. Before the second step at least 10.",
        json_schema_extra=FREE,
    )
    on_stall: Literal["say", "restart"] = Field(
        "say",
        description="When it stalls: record it, show the stacks of all threads in logs/worker.log and run "
        "notify.command; restart also goes on from the last checkpoint in a fresh process (in the background; "
        "devices > 1: as often as training.max_restarts), unless the last restart saved nothing.",
        json_schema_extra=FREE,
    )
