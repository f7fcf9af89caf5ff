"""FOCUS as a library: `from focus_engine import Experiment`.

    from focus_engine import Experiment

    experiment = Experiment.create("quick", template="small", settings={"training.num_epochs": 2})
    experiment.start()
    for event in experiment.events(follow=True):
        if event.type == "epoch_finished":
            print(event.epoch, event.val_loss)
    maps = experiment.sample(8, params={"Omega_m": 0.3, "sigma_8": 0.8}).maps
    print(experiment.evaluate().power_spectrum.median_abs_error)

The library does what the command line does: the same folders, the same worker in its own process, the same events.
Only `sample`, `evaluate`, `calibrate`, `check` and `compare` import torch.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from focus_engine.config.load import load_config
from focus_engine.config.schema import Config
from focus_engine.errors import InputError
from focus_engine.events.history import history_of
from focus_engine.events.log import EventTail, read_events
from focus_engine.events.table import EpochFinished, Event, RunEnded
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.start import request_stop, start_run
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import LIVE_STATES, RunSummary
from focus_engine.progress import drain
from focus_engine.runs.comparison import comparison_path
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder, default_run, experiments_root, find_run, list_runs

if TYPE_CHECKING:
    from focus_engine.evaluation.averages import BestAverage
    from focus_engine.evaluation.comparison import Comparison
    from focus_engine.evaluation.sampling import SamplingResult
    from focus_engine.statistics.compare import Evaluation
    from focus_engine.worker.rehearsal import Rehearsal

Result = TypeVar("Result")

POLL_SECONDS = 0.2
"""How often a followed log is read."""
LIVENESS_SECONDS = 2.0
"""How often to check that the worker of a followed log is alive."""


class Experiment:
    """An experiment: its folder, its config, its worker, its events and its maps.

    Attributes:
        run: the paths of its folder.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def __repr__(self) -> str:
        return f"<Experiment {self.name}: {self.status().state}>"

    @classmethod
    def open(cls, name: str | Path | None = None, *, root: Path | str | None = None) -> "Experiment":
        """Open an experiment by name or path [that of the current folder, else the most recently active one].

        `root` is the experiments folder [found as the command line finds it].

        Raises:
            InputError: there is no such experiment.
        """
        folder = _root(root)
        return cls(default_run(folder) if name is None else find_run(str(name), folder))

    @classmethod
    def create(
        cls,
        name: str,
        *,
        root: Path | str | None = None,
        template: str | None = None,
        method: str | None = None,
        source: "Experiment | None" = None,
        settings: Mapping[str, object] | None = None,
    ) -> "Experiment":
        """Create an experiment, as `focus new` does; nothing is overwritten.

        Args:
            name: of the experiment and its folder.
            root: the experiments folder [found as the command line finds it].
            template: diffusion [default], flow, edm, small, small_flow or small_edm.
            method: use the first template of this method.
            source: copy this experiment's config.
            settings: config keys and values, such as `{"training.lr": 1e-4, "model.channel_mults": [1, 2]}`.

        Raises:
            InputError: a bad name, template or setting, or a folder that exists already.
        """
        changes = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
        copied = None if source is None else source.run
        run = create_experiment(_root(root), name, template=template, method=method, source=copied, settings=changes)
        return cls(run)

    @classmethod
    def all(cls, *, root: Path | str | None = None) -> "list[Experiment]":
        """Return every experiment, by name."""
        return [cls(run) for run in list_runs(_root(root))]

    @property
    def name(self) -> str:
        """The experiment's name, which is its folder's."""
        return self.run.name

    @property
    def path(self) -> Path:
        """The experiment's folder, absolute."""
        return self.run.path

    @property
    def config(self) -> Config:
        """The checked config in config.yaml now. Raises InputError."""
        return load_config(self.run.config).config

    def status(self) -> RunSummary:
        """Return the state and progress of the experiment, proved from its log and its process."""
        return summarise(self.run)

    def start(
        self, *, resume: bool = False, device: str | None = None, devices: int | None = None, queue: bool = False
    ) -> None:
        """Train in the background; the worker outlives this process.

        Args:
            resume: go on from the last checkpoint (from epoch 1 when there is none yet).
            device: overrides the config's, such as "cuda:1".
            devices: overrides training.devices: how many of them train together.
            queue: wait until the device has a free slot, behind the workers that wait already.

        Raises:
            RunConflictError: it is running already, or has checkpoints and `resume` is not set, or is done.
            InputError: config, data or checkpoint are wrong.
            FocusError: the worker died before its first event.
        """
        load_config(self.run.config)
        start_run(self.run, resume=resume, device=device, devices=devices, queue=queue)

    def resume(self, *, device: str | None = None, devices: int | None = None, queue: bool = False) -> None:
        """Go on from the last checkpoint in the background (see `start`)."""
        self.start(resume=True, device=device, devices=devices, queue=queue)

    def stop(self, when: Literal["epoch", "now"] = "epoch") -> None:
        """Ask the worker to stop after the current epoch, or now. Raises RunConflictError when it is not running."""
        request_stop(self.run, when)

    def wait(self, timeout: float | None = None) -> RunSummary:
        """Wait until the worker has exited, with its last figure drawn; return the state of the experiment.

        Raises:
            TimeoutError: the worker still runs after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (summary := self.status()).state in LIVE_STATES or self._worker_alive():
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} is still {summary.state} after {timeout:g} s")
            time.sleep(POLL_SECONDS)
        return summary

    def _worker_alive(self) -> bool:
        """Whether the worker process is alive: after its last event it still draws figures and notifies the user."""
        identity = ProcessIdentity.read(self.run.worker)
        return identity is not None and identity.pid != os.getpid() and identity.life() == "alive"

    def events(self, *, follow: bool = False) -> Iterator[Event]:
        """Yield the events of the log, oldest first; with `follow`, until the run ends or its worker is gone."""
        if not follow:
            yield from read_events(self.run.events)
            return
        tail, checked = EventTail(self.run.events), 0.0
        while True:
            gone = False
            if time.monotonic() - checked >= LIVENESS_SECONDS:
                gone, checked = self.status().state not in LIVE_STATES, time.monotonic()
            events = tail.poll()  # after the check, so that the last events of a dying worker are read
            yield from events
            if gone or (events and isinstance(events[-1], RunEnded)):
                return
            time.sleep(POLL_SECONDS)

    def history(self) -> list[EpochFinished]:
        """Return the finished epochs, without those that were lost before a resume."""
        return list(history_of(read_events(self.run.events)).epochs)

    def check(self, *, device: str | None = None) -> "Rehearsal":
        """Return the cost of a training (memory, time per epoch, disk), measured in a few steps; starts nothing.

        Raises:
            InputError: config or data are wrong.
            FocusError: training would fail, for example because it is out of memory.
        """
        from focus_engine.worker.rehearsal import rehearse  # noqa: PLC0415  (torch: 2 s)

        return drain(rehearse(self.run, device=device))

    def sample(
        self,
        count: int | None = None,
        *,
        params: Mapping[str, float] | None = None,
        params_file: Path | None = None,
        checkpoint: str = "best",
        ema: float | str | None = None,
        device: str | None = None,
        devices: int = 1,
        output: Path | None = None,
        **plan: Any,  # noqa: ANN401  (the fields of SamplingPlan)
    ) -> "SamplingResult":
        """Draw maps from the trained model and write them to the samples folder.

        Args:
            count: number of maps [16, or one for each row of `params_file`].
            params: parameters by name, the same for every map [those of the validation maps in order].
            params_file: a table with one row per map.
            checkpoint: best, last, or a path.
            ema: length of the average of the weights, or `best` as found by `best_average` [the moving average].
            device: overrides the config's.
            devices: number of GPUs that share the maps, which do not depend on it.
            output: the .npz [a free name under samples/].
            plan: sampler, steps or nfe, spacing, eta, churn, rtol, atol, guidance, prior, seed, batch_size [those of
                the config].

        Returns:
            maps (N, C, H, W) in physical units, params (N, P), power, path, figure, nfe.

        Raises:
            InputError: there is no such checkpoint, or an argument does not fit it.
            FocusError: the maps are not finite.
        """
        from focus_engine.evaluation.averages import open_averaged  # noqa: PLC0415  (torch: 2 s)
        from focus_engine.evaluation.sampling import choose_params, sample_run  # noqa: PLC0415  (torch: 2 s)
        from focus_engine.evaluation.trained_model import find_checkpoint  # noqa: PLC0415

        model = open_averaged(self.run, find_checkpoint(self.run, checkpoint), ema, device=device).shared(devices)
        chosen = model.plan(**plan)
        rows = choose_params(model, count, params, params_file)
        return drain(sample_run(self.run, model, rows, chosen, output))

    def evaluate(
        self,
        count: int | None = None,
        *,
        universes: int | None = None,
        cosmologies: int | None = None,
        checkpoint: str = "best",
        ema: float | str | None = None,
        device: str | None = None,
        devices: int = 1,
        **plan: Any,  # noqa: ANN401  (the fields of SamplingPlan)
    ) -> "Evaluation":
        """Compare samples with held-out maps by every statistic, each beside real maps against real maps.

        Args:
            count: test maps to use, or maps to draw [300].
            universes: simulate this many universes at each held-back cosmology, as truth instead of the test maps.
            cosmologies: number of held-back cosmologies [8].
            checkpoint: best, last, or a path.
            ema: length of the average of the weights, or `best` as found by `best_average` [the moving average].
            device: overrides the config's.
            devices: number of GPUs that share the maps, which do not depend on it.
            plan: sampler, steps or nfe, spacing, eta, churn, rtol, atol, guidance, prior, seed, batch_size [those of
                the config].

        Raises:
            InputError: there is no such checkpoint, the data are gone or have changed, or there can be no such
                universes.
            FocusError: the generated maps are not physical.
        """
        from focus_engine.evaluation.averages import open_averaged  # noqa: PLC0415  (torch: 2 s)
        from focus_engine.evaluation.sampling import evaluate_run  # noqa: PLC0415  (torch: 2 s)
        from focus_engine.evaluation.trained_model import find_checkpoint  # noqa: PLC0415
        from focus_engine.evaluation.truth import HeldBack  # noqa: PLC0415

        truth = HeldBack.given(universes, cosmologies)
        model = open_averaged(self.run, find_checkpoint(self.run, checkpoint), ema, device=device).shared(devices)
        return drain(evaluate_run(self.run, model, model.plan(**plan), count, held_back=truth)).evaluation

    def calibrate(self, maps: int | None = None, *, device: str | None = None) -> None:
        """Bring maps drawn later to the spectrum and the pixels of the training maps, as a training does that ends.

        Args:
            maps: maps to draw [sampling.calibration_maps, else 512]; 0 takes the calibration away.
            device: overrides the config's.

        Raises:
            RunConflictError: it is being trained.
            InputError: there is no checkpoint, or the data are gone or have changed.
            FocusError: the network is too far from its training maps.
        """
        from focus_engine.evaluation.calibrating import calibrate_run  # noqa: PLC0415  (torch: 2 s)

        drain(calibrate_run(self.run, maps, device=device))

    def export_weights(
        self, path: Path | str, *, checkpoint: str = "best", ema: float | str | None = None, force: bool = False
    ) -> Path:
        """Write the averaged weights with all that sampling needs to the file `path`; return the path.

        Args:
            path: ends in .safetensors; nothing is overwritten without `force`.
            checkpoint: best, last, or a path.
            ema: length of the average of the weights, or `best` as found by `best_average` [the moving average].
            force: overwrite what is there.

        Raises:
            InputError: there is no such checkpoint or average, or `path` is no such name or exists.
        """
        from focus_engine.evaluation.exporting import export_weights  # noqa: PLC0415  (torch: 2 s)

        export_weights(self.run, Path(path), checkpoint=checkpoint, ema=ema, force=force)
        return Path(path)

    def best_average(self, *, checkpoint: str = "best", device: str | None = None) -> "BestAverage":
        """Find the length of the average of the weights with the lowest validation loss, and remember it.

        Args:
            checkpoint: best, last, or a path.
            device: overrides the config's.

        Raises:
            InputError: there is no such checkpoint, it holds no averages, or the data are gone or have changed.
        """
        from focus_engine.evaluation.averages import find_best  # noqa: PLC0415  (torch: 2 s)
        from focus_engine.evaluation.trained_model import find_checkpoint  # noqa: PLC0415

        return drain(find_best(self.run, find_checkpoint(self.run, checkpoint), device=device))

    def compare(
        self,
        *others: "Experiment",
        count: int | None = None,
        steps: tuple[int, ...] | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> "Comparison":
        """Compare the samples of this experiment with those of others on the same unseen maps.

        Args:
            others: the experiments to compare with, at least one.
            count: test maps to use [96].
            steps: numbers of steps at which error and cost are measured [5, 10, 25, 50].
            seed: of the noise.
            device: overrides the configs'.

        Raises:
            InputError: they were trained on other data, or one has no checkpoint.
        """
        from focus_engine.evaluation.comparison import STEP_COUNTS, Contender, compare_models  # noqa: PLC0415  (torch: 2 s)
        from focus_engine.evaluation.trained_model import find_checkpoint, open_trained  # noqa: PLC0415

        if not others:
            raise InputError("compare needs at least one other experiment")
        runs = [self.run, *(other.run for other in others)]
        models = [open_trained(find_checkpoint(run, "best"), device=device) for run in runs]
        contenders = [Contender(run, model, model.plan(seed=seed)) for run, model in zip(runs, models, strict=True)]
        return drain(compare_models(contenders, count, steps or STEP_COUNTS, comparison_path(runs)))


def _root(root: Path | str | None) -> Path:
    return experiments_root(None if root is None else Path(root))
