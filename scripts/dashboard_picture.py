"""Make the README's pictures of the Watch screen, as SVG and GIF, from the recording of `--demo`.

Run: python scripts/dashboard_picture.py   (the GIF needs rsvg-convert and Pillow)
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from focus_engine.events.table import EpochFinished, StepProgress
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.replay import RecordedRun, recordings, write_recorded_run

os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}  # before the app asks which colours there are
IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = (120, 40)
STILL = 36
"""Epoch of the still picture."""
FRAMES = (*range(2, 36, 3), 36)
WIDTH = 900
FRAME_MILLISECONDS = 700


def main() -> None:
    """Write the pictures; without rsvg-convert only the SVG."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    (IMAGES / "watch.svg").write_text(svg_at(STILL), encoding="utf-8")
    if shutil.which("rsvg-convert") is None:
        print("rsvg-convert not found: the GIF is unchanged")
        return
    from PIL import Image

    frames = [Image.open(BytesIO(png_of(svg_at(epoch)))).convert("P", palette=1, colors=64) for epoch in FRAMES]
    times = [FRAME_MILLISECONDS] * (len(frames) - 1) + [4 * FRAME_MILLISECONDS]
    frames[0].save(IMAGES / "watch.gif", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)


def png_of(svg: str) -> bytes:
    """Return `svg` rendered as PNG, keeping its blanks."""
    kept = svg.replace("<text ", '<text xml:space="preserve" ')
    command = ["rsvg-convert", "-w", str(WIDTH)]
    return subprocess.run(command, input=kept.encode(), capture_output=True, check=True).stdout


def svg_at(epoch: int) -> str:
    """Return the Watch screen during the epoch after `epoch`; this process acts as the worker."""
    main = recordings()[-1]
    last = next(i for i, event in enumerate(main.events) if isinstance(event, EpochFinished) and event.epoch == epoch)
    until = last + 1
    while until < len(main.events) and not isinstance(main.events[until], EpochFinished):
        until += 1  # the picture includes P(k), maps and some steps of the next epoch
    steps = [i for i in range(last, until) if isinstance(main.events[i], StepProgress)]
    events = main.events[: steps[len(steps) // 2] + 1] if steps else main.events[:until]
    with tempfile.TemporaryDirectory() as folder:
        run = write_recorded_run(Path(folder), RecordedRun(main.name, main.config, events), ended=time.time())
        pid = os.getpid()
        me = ProcessIdentity(pid, host_name(), boot_id(), process_start(pid), time.time())
        run.worker.write_text(replace(me).to_json(), encoding="utf-8")
        return asyncio.run(picture(run, epoch))


async def picture(run: RunFolder, epoch: int) -> str:
    """Return the Watch screen of `run` after its log is read up to `epoch`."""
    app = FocusApp(run.path.parent, first=run)
    async with app.run_test(size=SIZE) as pilot:
        while (view := app.view_of(run)) is None or not view.epochs or view.epochs[-1].epoch < epoch:
            await pilot.pause(0.05)
        await pilot.pause(0.3)
        return app.export_screenshot(title=f"focus tui {run.name}")


if __name__ == "__main__":
    main()
