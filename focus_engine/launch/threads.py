"""How threads of a computation wait for each other; set before torch is loaded."""

import os

SPINS = "1000"
"""Looks of a waiting thread before it sleeps, about two microseconds: parts of one operation seldom wait longer."""


def wait_asleep() -> None:
    """Let the threads of OpenMP soon sleep while they wait for each other, unless the user has chosen how they wait.

    By default they spin, which holds the core that the thread they wait for needs. On two cores the small templates
    then trained 50 to 100 maps/s beside a busy program, with SPINS 113, and 121 asleep at once; alone 184 to 192, 198
    and 172. Processes that this one starts inherit it.
    """
    if "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ:
        os.environ |= {"GOMP_SPINCOUNT": SPINS, "OMP_WAIT_POLICY": "passive"}  # GNU's library, and others
