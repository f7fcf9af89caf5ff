"""Reading the text and the structure of an HDF5 file in a process that may be ended, before this one reads them.

The HDF5 library loops for ever at some damaged attributes (7 of 10,000 mutated files, all in its heap of texts), and
no thread can interrupt it. A forked process reads them first; it takes some 10 ms, and nothing is imported again.
"""

import contextlib
import faulthandler
import os
import signal
import warnings
from pathlib import Path

from focus_engine.errors import InputError

CPU_SECONDS = 5.0
"""CPU time after which reading names and attributes has no end; a slow disk takes none."""
_DEATHS = {signal.SIGPROF, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE}


def probe_hdf5(path: Path) -> None:
    """Raise InputError if reading names and attributes of the HDF5 file at `path` does not end, or kills a process.

    Other damage is left to the caller, which finds it again.
    """
    import h5py  # noqa: F401, PLC0415  (a slow import that most files do not need; before the fork)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: this child uses none of them
            child = os.fork()
    except OSError:  # no process to be had: read without
        return
    if not child:
        _read_and_leave(path)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in _DEATHS:
        ended = "takes for ever" if os.WTERMSIG(status) == signal.SIGPROF else "crashes the HDF5 library"
        raise InputError(f"{path}: is damaged: reading its attributes {ended}; write or copy it again")


def _read_and_leave(path: Path) -> None:
    """Read what `_Hdf5` reads when it opens a file, and end this process."""
    try:
        faulthandler.disable()
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        with contextlib.suppress(BaseException):
            import h5py  # noqa: PLC0415  (already imported)

            with h5py.File(path, "r") as file:
                file.visititems(lambda _name, item: _small_text(item))
                dict(file.attrs)
    finally:
        os._exit(0)


def _small_text(item: object) -> None:
    """Read a dataset of texts, which are in the same heap as those of attributes."""
    if getattr(getattr(item, "dtype", None), "kind", "") == "O" and getattr(item, "size", 0) <= 1 << 16:
        item[()]  # type: ignore[index]
