"""Threads of a computation soon sleep while they wait, in workers and commands, unless the user has chosen."""

import os
import subprocess
import sys

import pytest

TOLD = (
    "import atexit, os, sys; sys.argv[1:] = {arguments}; "
    "atexit.register(lambda: print(*(os.environ.get(name) for name in {names}))); "
)
COMMAND = TOLD + "from focus_tui.__main__ import main; main()"
WORKER = TOLD + "from focus_engine.worker.__main__ import main; main()"


NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, "passive 1000"),
        ({"OMP_WAIT_POLICY": "active"}, "active None"),
        ({"GOMP_SPINCOUNT": "5"}, "None 5"),
    ],
)
@pytest.mark.parametrize(("program", "arguments"), [(COMMAND, ["--version"]), (WORKER, ["/no/such/run"])])
def test_every_process_sets_it_before_torch_is_loaded(
    program: str, arguments: list[str], chosen: dict[str, str], found: str
):
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", program.format(arguments=arguments, names=NAMES)]
    ended = subprocess.run(command, env=kept | chosen, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == found, ended.stderr
