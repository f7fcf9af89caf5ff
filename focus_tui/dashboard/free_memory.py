"""Memory that the dashboard has freed, and that the C library would keep."""

import ctypes
import gc


def leave_modules_out_of_collections() -> None:
    """Exclude what exists now, mostly modules, from the search for garbage; called once, when they are loaded.

    Python searches everything only when a quarter as much is new. Of 80,000 objects 65,000 are those of modules, so
    that screens and charts, which leave objects in circles, took up to 5 MB in between.
    """
    gc.collect()
    gc.freeze()


def return_free_memory() -> None:
    """Give the free pages inside the heap back to the system; glibc only.

    A dashboard makes and drops logs, charts and screens for days, and what it keeps lies between them. glibc returns
    only what is free at the end of its heaps: in four minutes with eight fast runs the free part of them grew from
    3 to 9 MB, while the objects of Python took 2 MB more. A call takes about a millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # macOS and musl have none
        trim(0)
