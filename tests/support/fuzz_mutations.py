"""Mutations of files, drawn from a seeded generator: bytes, JSON, tables of zip archives, pickles and arrays."""

import io
import json
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from focus_engine.seal import MARK

Mutate = Callable[[random.Random, bytes], bytes]

HUGE = (10**400, 10**25, 2**64, 2**63, -(2**63) - 1, 1e308, -1e308, 5e-324, 0, -1, 1 << 40, 10**9)
EVIL: tuple[Any, ...] = (
    *HUGE,
    *(float("nan"), float("inf"), float("-inf"), True, None, "", "\ud800", "\x00", "\x1b]0;x\x07", "a" * 5000),
    *("../../outside", "/etc/passwd", "-u", "--user=root", "\u202e", "\U0010ffff", "1e999", "NaN", "$(touch executed)"),
    *([], {}, [[]], [None] * 3, {"a": {"b": []}}, [1e308] * 4, "e\u0301" * 50, "٣", b"".decode()),
)
WORDS = (b"\x00", b"\xff", b"\n", b"NaN", b"1e999", b"-", b"9" * 400, b"[" * 3000, b'{"a":' * 2000, b"\xed\xa0\x80")
YAML = (
    b"!!python/object/apply:os.system ['touch executed']",
    b"&a [*a]",
    b"*a",
    b"<<: ",
    b"? ",
    b"- ",
    b": ",
    b"%YAML 9",
    b"\t",
    b"{" * 1500,
    b"!!binary x",
    b"0x" + b"f" * 300,
    b"1:30:00",
    b"\xe2\x80\xa8",
)


def of_bytes(draw: random.Random, content: bytes) -> bytes:
    """Flip, cut, double, splice or insert bytes at some places."""
    data = bytearray(content or b"\0")
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at, length = draw.randrange(len(data) or 1), draw.choice((1, 2, 4, 8, 64, 512))
        match draw.randrange(8):
            case 0 | 1 if data:
                data[at] ^= 1 << draw.randrange(8)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at : at + length] = draw.randbytes(length)
            case 5:
                data[at:at] = draw.choice(WORDS)
            case 6:
                value = draw.choice((0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1, 2**32))
                data[at : at + 8] = struct.pack(draw.choice("<>") + "Q", value)
            case _ if draw.random() < 0.3:
                del data[at:]
    return bytes(data)


def of_text(draw: random.Random, content: bytes) -> bytes:
    """Mutate a YAML or table text: swap, drop and double lines, put evil values behind keys, or mutate bytes."""
    lines = content.split(b"\n")
    for _ in range(draw.choice((1, 1, 2, 5))):
        at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        evil = draw.choice((*YAML, *(_text(draw.choice(EVIL)) for _ in range(3))))
        match draw.randrange(6):
            case 0:
                lines[at], lines[other] = lines[other], lines[at]
            case 1:
                lines[at] = lines[at].partition(b":")[0] + b": " + evil
            case 2:
                lines.insert(other, lines[at])
            case 3:
                lines[at] = b" " * draw.randrange(6) + lines[at].strip()
            case 4:
                lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)] + evil
            case _:
                return of_bytes(draw, b"\n".join(lines))
    return b"\n".join(lines)


def of_json(draw: random.Random, content: bytes) -> bytes:
    """Replace, drop or add values of a JSON document, of a random line of several; a quarter are mutated as bytes."""
    if draw.random() < 0.25:
        return of_bytes(draw, content)
    lines = content.strip().split(b"\n") if content.count(b"\n{") else [content]
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(lines))
        try:
            lines[at] = json.dumps(of_value(draw, json.loads(lines[at]))).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            lines[at] = of_bytes(draw, lines[at])
    return b"\n".join(lines) + draw.choice((b"\n", b"\n", b"", b"\0\0", b"\r\n"))


def of_value(draw: random.Random, value: Any, evil: Callable[[random.Random], Any] | None = None) -> Any:
    """Return plain data in which some values are replaced, left out, added or put one level deeper."""
    put = evil or (lambda chosen: chosen.choice(EVIL))
    if not isinstance(value, dict | list | tuple) or not value or draw.random() < 0.05:
        return draw.choice((put(draw), put(draw), [value], {"x": value}, str(value)))
    if isinstance(value, dict):
        key = draw.choice(list(value))
        match draw.randrange(8):
            case 0:
                return {name: one for name, one in value.items() if name != key}
            case 1:
                return {**value, draw.choice(("", "x", str(key) + "x", "\ud800", "../x", "a" * 300)): put(draw)}
            case 2 | 3:
                return {**value, key: put(draw)}
        return {**value, key: of_value(draw, value[key], evil)}
    items, at = list(value), draw.randrange(len(value))
    match draw.randrange(5):
        case 0:
            del items[at]
        case 1:
            items.insert(at, items[at])
        case 2:
            items = items * draw.choice((0, 2, 50))
        case _:
            items[at] = of_value(draw, items[at], evil)
    return type(value)(items)


class Bomb:
    """An object whose unpickling leaves the file `executed`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('pathlib').Path('executed').touch()",)


def of_zip(draw: random.Random, content: bytes, inside: Mutate = of_bytes) -> bytes:
    """Rebuild a zip archive with a member mutated, renamed, pickled, doubled, compressed or huge; or mutate bytes."""
    if draw.random() < 0.35:
        return of_bytes(draw, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(one.filename, archive.read(one)) for one in archive.infolist()]
    at = draw.randrange(len(members))
    name, data = members[at]
    way = zipfile.ZIP_STORED
    match draw.randrange(9):
        case 0:
            members[at] = ("../../outside" if draw.random() < 0.5 else "/tmp/outside", data)
        case 1:
            members[at] = (name, pickle.dumps({"state": Bomb()}))
        case 2:
            members.append((name, of_bytes(draw, data)))
        case 3:
            way = draw.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        case 4:
            del members[at]
        case 5:
            members[at], way = (name, bytes(draw.choice((1 << 12, 1 << 22)))), zipfile.ZIP_DEFLATED
        case _:
            members[at] = (name, inside(draw, data))
    return zipped(members, way)


def zipped(members: list[tuple[str, bytes]], way: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive of the members."""
    import warnings

    with io.BytesIO() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that are there twice
        with zipfile.ZipFile(file, "w", way) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return file.getvalue()


def of_npy(draw: random.Random, content: bytes) -> bytes:
    """Mutate the header of a .npy file as text, or its bytes."""
    if draw.random() < 0.3 or not content.startswith(b"\x93NUMPY"):
        return of_bytes(draw, content)
    length = struct.unpack("<H", content[8:10])[0]
    header, rest = content[10 : 10 + length], content[10 + length :]
    shapes = (
        b"(99999999999,)",
        b"(-1, 4)",
        b"()",
        b"(0, 2, 2)",
        b"(4294967296, 4294967296)",
        b"(1" + b", 1" * 40 + b")",
    )
    kinds = (b"'|O'", b"'<f2'", b"'>f8'", b"'<U99999'", b"[('a', '<f4')]", b"'<c16'", b"'|b1'", b"'<M8[s]'", b"'<i8'")
    match draw.randrange(4):
        case 0:
            header = header[: header.find(b"(")] + draw.choice(shapes) + b", }\n"
        case 1:
            header = header.replace(b"'<f4'", draw.choice(kinds)).replace(b"'<f8'", draw.choice(kinds))
        case 2:
            header, rest = header.replace(b"'<f4'", b"'|O'"), pickle.dumps(Bomb())
        case _:
            header = of_bytes(draw, header)
    return content[:8] + struct.pack("<H", min(len(header), 65535)) + header[:65535] + rest


def of_npz(draw: random.Random, content: bytes) -> bytes:
    """Mutate an .npz file."""
    return of_zip(draw, content, of_npy)


def of_safetensors(draw: random.Random, content: bytes) -> bytes:
    """Mutate the header of a safetensors file, the JSON documents in it, or its bytes."""
    if draw.random() < 0.3:
        return of_bytes(draw, content)
    (length,) = struct.unpack("<Q", content[:8])
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    about = header["__metadata__"]
    if draw.random() < 0.7:
        key = draw.choice(sorted(about))
        about[key] = of_json(draw, about[key].encode()).decode("utf-8", "replace")
    else:
        header = of_value(draw, header)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    size = len(text) if draw.random() < 0.95 else draw.choice((0, 2**40, 2**63, 2**64 - 1))
    return struct.pack("<Q", size) + text + rest


def of_checkpoint(draw: random.Random, content: bytes) -> bytes:
    """Mutate a checkpoint: its plain values, tensors and pickles; most are sealed again, as an attacker would."""
    import torch

    chance = draw.random()
    if chance < 0.6:
        saved = _loaded(content)
        tensors = (
            torch.zeros(3),
            torch.zeros(()),
            torch.empty(0),
            torch.zeros(1).expand(10**12),
            torch.zeros(2, dtype=torch.int8),
        )
        made = of_value(draw, saved, lambda chosen: chosen.choice((*EVIL, *tensors, Bomb())))
        with io.BytesIO() as file:
            try:
                torch.save(made, file)
                content = file.getvalue()
            except (RuntimeError, UnicodeEncodeError, OverflowError, MemoryError):  # of the expanded tensor
                content = of_bytes(draw, content)
    else:
        content = of_zip(draw, content) if chance < 0.9 else of_bytes(draw, content)
    return sealed(content) if draw.random() < 0.8 else content


@lru_cache(maxsize=4)
def _loaded(content: bytes) -> dict[str, Any]:
    """Return the content of a checkpoint; mutations copy what they change."""
    import torch

    found: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return found


def thin(content: bytes) -> bytes:
    """Return a checkpoint without its optimiser and averages, whose hundreds of tensors take most of the time."""
    import torch

    saved = _loaded(content)
    state = {key: value for key, value in saved["state"].items() if key in {"epoch", "step", "ema"}}
    with io.BytesIO() as file:
        torch.save({**saved, "state": state}, file)
        return sealed(file.getvalue())


def sealed(content: bytes) -> bytes:
    """Return a zip file with the right CRC-32 at its end."""
    at = content.rfind(b"PK\x05\x06")
    if at < 0:
        return content
    body = content[: at + 20] + (len(MARK) + 8).to_bytes(2, "little") + MARK
    return body + b"%08x" % zlib.crc32(body)


def _text(value: object) -> bytes:
    return (
        str(value).encode("utf-8", "replace") if not isinstance(value, str) else value.encode("utf-8", "surrogatepass")
    )


def bytes_of(path: Path) -> bytes:
    """Return the content of a file."""
    return path.read_bytes()
