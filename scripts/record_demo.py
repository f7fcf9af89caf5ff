"""Make the recording that `focus tui --demo` replays: events and configs of trained experiments, values unchanged.

Usage: python scripts/record_demo.py EXPERIMENTS NAME...   (the last one is replayed, the others are shown finished)
"""

import gzip
import json
import shutil
import sys
from pathlib import Path

RECORDING = Path(__file__).parents[1] / "focus_tui" / "dashboard" / "recording"
STEP_SECONDS = 2.0
"""Step events are thinned to one per this interval [s]."""


def recorded(path: Path) -> list[str]:
    """Return the lines of a log, without machine identifiers and with step events thinned."""
    lines, last = [], 0.0
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["type"] == "step_progress":
            if row["time"] - last < STEP_SECONDS:
                continue
            last = row["time"]
        if row["type"] == "worker_starting":
            row |= {"pid": 1, "host": "recording", "boot_id": None, "process_start": None}
        row |= {key: "recording" for key in ("host", "user") if row.get(key)}
        if row["type"] == "run_started":
            row["git_commit"] = None
        lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
    return lines


def main(root: Path, names: list[str]) -> None:
    """Write the recording."""
    shutil.rmtree(RECORDING, ignore_errors=True)
    RECORDING.mkdir()
    for number, name in enumerate(names):
        stem = RECORDING / f"{number}-{name}"
        text = "\n".join(recorded(root / name / "logs" / "events.jsonl")) + "\n"
        stem.with_suffix(".jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        shutil.copy(root / name / "config.yaml", stem.with_suffix(".yaml"))
    print(*sorted(f"{path.name} {path.stat().st_size}" for path in RECORDING.iterdir()), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
