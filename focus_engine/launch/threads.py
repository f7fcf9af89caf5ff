"""How threads of a computation wait for each other; set before torch is loaded."""

import os


def wait_asleep() -> None:
    """Let the threads of OpenMP sleep while they wait for each other, unless the user has chosen (OMP_WAIT_POLICY).

    By default they spin, which holds the core that the thread they wait for needs: beside a program on one of two
    cores the small templates trained 10 maps/s instead of 123. Alone, sleeping costs up to 7 %. Processes that this
    one starts inherit it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
