"""Options of `focus judge`, checked before any file is opened."""

from dataclasses import dataclass
from pathlib import Path

from focus_engine.errors import InputError
from focus_tui.compute.options import MAX_SEED, check_progress, check_report


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """The options of `focus judge`.

    Attributes:
        generated: the generated maps.
        real: the real maps.
        params: parameters of the generated maps; None if their file has them.
        real_params: parameters of the real maps; None if their file has them.
        maps_per_simulation: consecutive maps of one simulation; None to tell by ids or parameters.
        box_size: side of the box [Mpc/h]; None to take that of the files.
        training: training maps of the generator; None if they are not at hand.
        common: whether to leave out maps at parameters that only one side has.
        even_if_trained_on: whether real maps may be training maps.
        output: file of the report; None for none.
        latex: print a LaTeX table instead of drawing the report.
        seed: seed of the bootstrap and the nulls.
        json: print the report as JSON instead of drawing it.
        progress: form of the progress on stderr: `bar`, or `json` for one object per line.

    Raises:
        InputError: naming the option, the value and what is allowed.
    """

    generated: Path
    real: Path
    params: Path | None = None
    real_params: Path | None = None
    maps_per_simulation: int | None = None
    box_size: float | None = None
    training: Path | None = None
    common: bool = False
    even_if_trained_on: bool = False
    output: Path | None = None
    latex: bool = False
    seed: int = 0
    json: bool = False
    progress: str = "bar"

    def __post_init__(self) -> None:
        self._check_values()
        if self.output is not None:
            check_report(self.output)
        files = {
            str(self.generated): self.generated,
            f"--against {self.real}": self.real,
            f"--params {self.params}": self.params,
            f"--against-params {self.real_params}": self.real_params,
            f"--training {self.training}": self.training,
        }
        for where, path in files.items():
            if path is not None and not path.exists():
                raise InputError("no such file", where=where)

    def _check_values(self) -> None:
        check_progress(self.progress)
        if self.latex and self.json:
            raise InputError("--latex and --json are both given: keep one of them")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"give a whole number from 0 to {MAX_SEED}", where=f"--seed {self.seed}")
        if self.maps_per_simulation is not None and self.maps_per_simulation < 1:
            raise InputError("give a whole number >= 1", where=f"--maps-per-simulation {self.maps_per_simulation}")
        if self.box_size is not None and not 0 < self.box_size < float("inf"):
            raise InputError("give the side of the box in Mpc/h, above 0", where=f"--box-size {self.box_size:g}")
