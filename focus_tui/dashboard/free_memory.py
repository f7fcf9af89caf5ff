"""Memory that the dashboard has freed, and that the C library would keep."""

import ctypes
import gc


def leave_modules_out_of_collections() -> None:
    """Exclude what exists now, mostly modules, from the search for garbage; called once, when they are loaded.

    Of 80,000 objects 65,000 are those of modules: without them a search takes a few milliseconds.
    """
    gc.collect()
    gc.freeze()


def return_free_memory() -> None:
    """Free what is referred to in circles only, and give the free pages inside the heap back to the system.

    Closed screens and drawn charts leave circles, and Python alone searches for them after 70,000 new objects: up to
    5 MB. What is kept lies between what is dropped, and glibc alone returns only the free end of its heaps: in four
    minutes with eight fast runs their free part grew from 3 to 9 MB, while live objects took 2 MB more.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # macOS and musl have none
        trim(0)
