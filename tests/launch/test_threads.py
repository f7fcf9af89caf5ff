"""Threads of a computation sleep while they wait, in workers and commands, unless the user has chosen."""

import os
import subprocess
import sys

import pytest

TOLD = (
    "import atexit, os, sys; sys.argv[1:] = {arguments}; "
    "atexit.register(lambda: print(os.environ['OMP_WAIT_POLICY'])); "
)
COMMAND = TOLD + "from focus_tui.__main__ import main; main()"
WORKER = TOLD + "from focus_engine.worker.__main__ import main; main()"


@pytest.mark.parametrize(("chosen", "found"), [(None, "passive"), ("active", "active")])
@pytest.mark.parametrize(("program", "arguments"), [(COMMAND, ["--version"]), (WORKER, ["/no/such/run"])])
def test_every_process_sets_it_before_torch_is_loaded(
    program: str, arguments: list[str], chosen: str | None, found: str
):
    kept = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment = kept if chosen is None else {**kept, "OMP_WAIT_POLICY": chosen}
    command = [sys.executable, "-c", program.format(arguments=arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == found, ended.stderr
