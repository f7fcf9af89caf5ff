"""Other users of this machine, for tests that root runs."""

import json
import os
from collections.abc import Callable
from typing import Any

ALICE, BOB = 54_321, 54_322


def as_user(uid: int, do: Callable[[], Any]) -> Any:
    """Return what `do` returns (JSON) in a process of that user."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        answer: Any = "died"
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            answer = do()
        except BaseException as error:  # noqa: BLE001  (the parent shows it)
            answer = repr(error)
        finally:
            os.write(write, json.dumps(answer).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return answer
