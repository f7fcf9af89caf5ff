"""The files that FOCUS reads and another may have written: for each, good examples, mutations, and its readers."""

import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from example_events import SAMPLES, epoch, started, worker
from fuzz_mutations import Mutate, of_bytes, of_checkpoint, of_json, of_npy, of_npz, of_safetensors, of_text, thin

from focus_engine.config.load import load_config
from focus_engine.config.schema import plain_config
from focus_engine.config.templates import TEMPLATES, config_text
from focus_engine.data.judged_files import JudgedFile, read_judged_maps
from focus_engine.data.map_files import content_blocks, open_maps_file
from focus_engine.data.parameters import read_parameter_table
from focus_engine.evaluation.averages import BestAverage
from focus_engine.evaluation.trained_model import open_trained
from focus_engine.events.log import read_events
from focus_engine.launch.exclusive_file import ExclusiveFile
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.rank_files import RankRecord
from focus_engine.launch.slots import _Ticket
from focus_engine.launch.slurm import jobs
from focus_engine.launch.slurm.options import read_defaults
from focus_engine.launch.state import summarise
from focus_engine.launch.stop_request import write_stop_request
from focus_engine.launch.torchrun import _failure, kill_leftover_ranks, read_rank_records
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import read_labels
from focus_engine.runs.proofs import inspect_path, proof_of, remember
from focus_engine.simulation.folder import _compare
from focus_engine.training.initial_weights import read_initial_weights
from focus_engine.training.snapshots import SnapshotFolder
from focus_engine.worker.stop import StopSwitch
from focus_tui.cli.listing import row_document
from focus_tui.cli.status import label_lines, proof_lines
from focus_tui.dashboard import replay
from focus_tui.dashboard.settings import load_settings
from focus_tui.dashboard.widgets import sample_scores
from focus_tui.dashboard.widgets.form_result import read_maps
from focus_tui.terminal import visible
from focus_tui.view.columns import COLUMNS, RunRow
from focus_tui.view.query import parse_query
from focus_tui.view.words import event_note, progress_line, status_lines

Read = Callable[[RunFolder, Path], object]


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        name: of the kind.
        place: where it lies in the run folder.
        seeds: contents of good files.
        mutate: changes one.
        read: calls every reader of it.
        refused: errors beside FocusError that its readers document, for callers that catch them.
    """

    name: str
    place: str
    seeds: tuple[bytes, ...]
    mutate: Mutate
    read: Read
    refused: tuple[type[Exception], ...] = ()


def show(run: RunFolder) -> None:
    """Summarise a run and make all that lists and `focus status` show of it."""
    row = RunRow(summarise(run), read_labels(run))
    json.dumps(row_document(row), allow_nan=False)
    lines = [*status_lines(row.summary), *label_lines(row.labels), *proof_lines(run)]
    lines += [str(column.text(row, 1.8e9)) for column in COLUMNS]
    "\n".join(map(visible, lines)).encode()
    parse_query("x state:running epoch>3 updated<2h pk<=5% name~/a.*b/").matches(row)


def _events(run: RunFolder, path: Path) -> None:
    show(run)
    for event in read_events(path):
        json.loads(event.to_json())
        visible(f"{event_note(event)} {progress_line(event)}").encode()


def _stop(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    told: list[Any] = []
    StopSwitch(run, told.append).look()
    assert all(json.loads(event.to_json()) for event in told)
    show(run)


def _worker(run: RunFolder, path: Path) -> None:
    if (identity := ProcessIdentity.read(path)) is not None:
        identity.life()
    show(run)


def _lock(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    ExclusiveFile.is_held(run.lock)
    if (lock := ExclusiveFile.take(run.lock)) is not None:
        lock.release(gone=True)


def _progress(run: RunFolder, path: Path) -> None:
    beat = ProgressBeat.read(path)
    if beat is not None:
        visible(beat.words(beat.idle_now(10.0) or 0.0)).encode()
    show(run)


def _proofs(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    proof_of(run, run.checkpoint_last)
    show(run)
    remember(run, run.config, "proved")


def _ranks(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    kill_leftover_ranks(path.parent)
    str(_failure(read_rank_records(path.parent), 1)).encode("utf-8", "replace")


def _slurm_output(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    text = path.read_bytes().decode(errors="replace")
    ask, jobs.ask = jobs.ask, lambda command: text  # noqa: ARG005
    try:
        for query in (jobs.Slurm().job, jobs._of_scontrol, jobs._of_sacct, jobs.was_preempted):
            query("7")
        jobs.cluster_name()
    finally:
        jobs.ask = ask


def _slurm_job(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    job = jobs.SubmittedJob.read(run)
    assert job is None or (job.job_id[:1] != "-" and job.job_id.isascii())
    ask, jobs.ask = jobs.ask, lambda command: None  # noqa: ARG005
    try:
        show(run)
    finally:
        jobs.ask = ask


def _ticket(run: RunFolder, path: Path) -> None:
    import fcntl

    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with _Ticket(path.parent, run, ["cpu"]) as ticket:
            assert all(isinstance(key, str) for older in ticket.older() for key in older)


def _checkpoint(run: RunFolder, path: Path) -> None:
    inspect_path(path)
    trained = open_trained(path, device="cpu")
    str((trained.map_shape, trained.field_names, trained.field_units, trained.plan()))
    read_initial_weights(path, load_config(run.config).config)


def _weights(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    trained = open_trained(path, device="cpu")
    str((trained.map_shape, trained.field_names, trained.field_units, trained.plan()))


def _maps(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    maps = open_maps_file(path)
    for _ in content_blocks(maps, 1 << 20, 2):
        pass


def _judged(run: RunFolder, path: Path) -> None:
    read_judged_maps(JudgedFile(path, "real"))
    _maps(run, path)


def _config(run: RunFolder, path: Path) -> None:
    show(run)
    plain_config(load_config(path).config)


def _recording(run: RunFolder, path: Path) -> None:
    was, replay.RECORDING = replay.RECORDING, path.parent
    try:
        for one in replay.recordings():
            replay.timeline([event.time for event in one.events], 1.0)
    finally:
        replay.RECORDING = was
    del run


def _report(run: RunFolder, path: Path) -> None:  # noqa: ARG001
    report = sample_scores._read(path, {"a"})
    if report is not None:
        visible(str(sample_scores._report_text(report, ["a"], 80))).encode()


def _query(run: RunFolder, path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "surrogateescape")[:300]
    parse_query(text).matches(RunRow(summarise(run), read_labels(run)))


def targets(home: Path, checkpoint: Path, weights: Path) -> list[Target]:
    """Return all kinds of files; `home` is an empty folder for examples, the others a trained run's files."""
    log = [worker(), started(), epoch(1), *SAMPLES]
    lines = "\n".join(event.to_json() for event in log).encode()
    run = RunFolder(home / "example")
    run.make_folders()
    run.config.write_text("")
    write_stop_request(run, "epoch")
    me = ProcessIdentity.of_this_process()
    remember(run, run.config, "proved")
    beat = {"worker": me.started, "pid": me.pid, "host": me.host, "boot_id": me.boot_id, "phase": "x", "step": 1}
    beat |= {"reports": 2, "time": 1.0, "idle": 3.0, "limit": 600.0, "stalled": True, "every": 5.0, "monotonic": 1.0}
    rank = RankRecord(rank=0, attempt=0, identity=dict(vars(me)) | {"pid": 2**22 + 1})
    texts = {
        "worker": json.loads(me.to_json()),
        "held": json.loads(me.to_json()) | {"key": "ab", "released": False},
        "slurm": {"job_id": "7", "cluster": "c", "submitted": 1.79e9},
        "labels": {"tags": ["a", "b"], "note": "n", "archived": False},
        "best": {"checkpoint": "a", "moving": 0.1, "best": 0.1, "losses": [{"length": 0.1, "loss": 0.5}]},
        "ticket": {"run": "/x", "devices": ["cpu"]},
        "record": {"arguments": {"grid": 8, "seed": 1}, "focus_version": "0"},
    }
    of = {name: (json.dumps(value).encode(),) for name, value in texts.items()}
    states = ("7|PENDING|None|n1|gpu|1-02:03:04", "JobId=7 JobState=RUNNING Reason=None NodeList=n1 Partition=p")
    slurm = (("\n".join(states) + "\nClusterName = c\n7|RUNNING|n1|p\n7.batch|FAILED|n|p").encode(),)
    recording = gzip.compress(lines)
    config = config_text(TEMPLATES["small_flow"], name="x", created="2026-01-01", schema="s.json").encode()
    queries = (
        b"state:running method:flow lr>=1e-4 name~/v.*p/ tag:x,y -state:lost epoch<10 'a b' n*e:*",
        b"tag:a*b*c*d*",
    )
    settings = b"theme: x\ncolumns: [name, state]\nrefresh: 0.5\nfilters: {a: 'state:running'}\nkeys: {stop: [s, x]}\n"
    options = b"default: {partition: gpu, time: '1:00:00', sbatch: {mem: 64G}, gpus: 1}\n"
    snapshot = _archive({"format": "focus-averages", "version": 1, "step": 3, "lengths": [0.1]})
    return [
        Target("event log", "logs/events.jsonl", (lines,), of_json, _events),
        Target("stop request", "logs/stop", (run.stop_request.read_bytes(), b"now"), of_json, _stop),
        Target("worker.json", "logs/worker.json", of["worker"], of_json, _worker),
        Target("exclusive lock", "logs/.run.lock.held-000001", of["held"], of_json, _lock),
        Target("progress.json", "logs/progress.json", (json.dumps(beat).encode(),), of_json, _progress),
        Target(
            "proofs.json",
            "checkpoints/proofs.json",
            ((run.checkpoints / "proofs.json").read_bytes(),),
            of_json,
            _proofs,
        ),
        Target("rank file", "logs/ranks/attempt_0_rank_0.json", (json.dumps(vars(rank)).encode(),), of_json, _ranks),
        Target("slurm.json", "slurm.json", of["slurm"], of_json, _slurm_job),
        Target("output of SLURM", "slurm.txt", slurm, of_text, _slurm_output),
        Target("labels", "labels.json", of["labels"], of_json, lambda run, _: show(run)),
        Target(
            "best average", "checkpoints/averages/best.json", of["best"], of_json, lambda run, _: BestAverage.read(run)
        ),
        Target("queue ticket", "queue/ticket-00000000000000000001-1", of["ticket"], of_json, _ticket),
        Target(
            "record of a simulation",
            "simulation.json",
            of["record"],
            of_json,
            lambda _, path: _compare({"grid": 8}, path, "x"),
        ),
        Target(
            "checkpoint", "checkpoints/checkpoint_last.pt", (thin(checkpoint.read_bytes()),), of_checkpoint, _checkpoint
        ),
        Target(
            "snapshot",
            "checkpoints/averages/averages_000000003.pt",
            (snapshot,),
            of_checkpoint,
            lambda run, _: SnapshotFolder(run.averages).read(3),
        ),
        Target("weights file", "w.safetensors", (weights.read_bytes(),), of_safetensors, _weights),
        Target(".npy maps", "maps.npy", (_npy(),), of_npy, _maps),
        Target(".npz maps", "maps.npz", tuple(_npz()), of_npz, _judged),
        Target("HDF5 maps", "maps.h5", tuple(_hdf5(home)), of_bytes, _judged),
        Target(
            "parameter table",
            "params.txt",
            (b"# Om s8\n0.3 0.8\n0.2 0.9\n", b"a,b\n1,2\n"),
            of_text,
            lambda _, path: read_parameter_table(path),
        ),
        Target("config", "config.yaml", (config,), of_text, _config),
        Target("SLURM defaults", "slurm.yaml", (options,), of_text, lambda _, path: read_defaults("c", path)),
        Target("settings", "tui.yaml", (settings,), of_text, lambda _, path: load_settings(path)),
        Target("filter", "query.txt", queries, of_text, _query),
        Target("recording", "rec/0-a.jsonl.gz", (recording,), of_bytes, _recording),
        Target(
            "sampled maps",
            "samples/s.npz",
            tuple(_npz()),
            of_npz,
            lambda _, path: read_maps(path),
            (OSError, ValueError),
        ),
        Target("comparison", "figs/comparison_a.json", (json.dumps(_comparison()).encode(),), of_json, _report),
    ]


def _archive(content: dict[str, Any]) -> bytes:
    import torch

    with io.BytesIO() as file:
        torch.save(content | {"weights": [torch.zeros(4, dtype=torch.float16)]}, file)
        return file.getvalue()


def _stack() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random((4, 8, 8), dtype=np.float32)


def _npy() -> bytes:
    with io.BytesIO() as file:
        np.save(file, _stack())
        return file.getvalue()


def _npz() -> Iterator[bytes]:
    more: dict[str, Any] = {"params": np.ones((4, 2)), "param_names": ["a", "b"], "box_size": 25.0, "units": "x"}
    for save in (np.savez, np.savez_compressed):
        with io.BytesIO() as file:
            save(file, maps=_stack(), fields=["f"], seed=1, **more)
            yield file.getvalue()


def _hdf5(home: Path) -> Iterator[bytes]:
    for options in ({}, {"chunks": (1, 8, 8), "compression": "gzip"}):
        path = home / "example.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("maps", data=_stack(), **options)
            file["params"] = np.ones((4, 2))
            file.attrs["box_size"] = 25.0
            file.attrs["param_names"] = ["a", "b"]
        yield path.read_bytes()


def _comparison() -> dict[str, Any]:
    steps = [{"steps": 2, "nfe": 2, "seconds_per_map": 0.1, "pk_error": 0.1}]
    one = {"name": "a", "sampling": {"sampler": "heun", "steps": 2}, "steps": steps}
    return {"runs": [one], "n_maps": 4, "n_simulations": 2, "device": "cpu"}


def chosen(known: Sequence[Target], names: Sequence[str]) -> list[Target]:
    """Return the targets of these names; all without names."""
    return [one for one in known if not names or one.name in names]
