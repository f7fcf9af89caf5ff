"""Trust in checkpoints: code that a checkpoint names runs only if this user made the checkpoint or passes --trust.

A dotted `model.from` is the import path of a user's own code. Checkpoints are passed on, so FOCUS stamps those that
name such code with a key of this user (`~/.config/focus/key`). A checkpoint without a valid stamp is another user's.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from focus_engine.errors import InputError
from focus_engine.trust_flag import trusted

KEY_VARIABLE = "FOCUS_KEY_FILE"
KEY_BYTES = 32


def is_own(path: Path) -> bool:
    """Whether the file at `path` belongs to this user. Raises OSError."""
    return path.stat().st_uid == os.geteuid()


def runs_code(network: str) -> bool:
    """Whether `network`, a value of `model.from`, names code outside FOCUS."""
    from focus_engine.config.networks import NETWORKS  # noqa: PLC0415  (pydantic: `focus ls` does without)

    return network not in NETWORKS


def stamp(network: str) -> str | None:
    """Return this user's stamp for a network that is code; None for FOCUS's own, or where no key can be stored."""
    key = _key(make=True) if runs_code(network) else None
    return None if key is None else _digest(key, network)


def check_stamp(path: Path, network: str, given: object) -> None:
    """Raise InputError when the checkpoint at `path` names code and `given` is not this user's stamp."""
    if not runs_code(network) or trusted():
        return
    key = _key(make=False)
    if (
        key is not None
        and isinstance(given, str)
        and hmac.compare_digest(given.encode(), _digest(key, network).encode())
    ):
        return
    raise InputError(
        f"{path}: its network is {network!r}, code that would be run, and this checkpoint was not made by you: read "
        "that code first, then say --trust"
    )


def _digest(key: bytes, network: str) -> str:
    return hmac.new(key, network.encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool) -> bytes | None:
    """Return the user's key, with `make` created if missing; None where there is none."""
    given = os.environ.get(KEY_VARIABLE)
    path = Path(given) if given else Path.home() / ".config" / "focus" / "key"
    with contextlib.suppress(OSError):
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                os.write(descriptor, secrets.token_bytes(KEY_BYTES))
                os.close(descriptor)
        key = path.read_bytes()
        return key if len(key) == KEY_BYTES else None
    return None
