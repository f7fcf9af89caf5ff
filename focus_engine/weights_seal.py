"""The CRC-32 in the header of a weights file, which covers every byte of the file.

The safetensors format has no checksum. FOCUS computes the CRC-32 of the whole file with eight zeros in the place of
its digits, and then writes the digits there. Needs neither torch nor safetensors, as `focus_engine/seal.py`.
"""

import json
import os
import zlib
from pathlib import Path
from typing import IO, Any

from focus_engine.seal import Inspection
from focus_engine.small_files import open_ordinary

KEY = "focus_crc32"
UNKNOWN = "0" * 8
"""What stands in the place of the CRC-32 while it is computed."""
REMEDY = "copy it again, or write it again by focus export"
_MARK = f'"{KEY}":"'.encode()  # quotes within the texts of a header are escaped, so this stands nowhere else
_UNSEALED = {"format", "focus_format", "focus_config", "focus_normaliser", "focus_params", "focus_data"}
_UNSEALED |= {"focus_provenance"}  # the keys of files written before there was a CRC-32
_MOST_HEADER = 100_000_000  # safetensors reads no longer one
_BLOCK = 1 << 20


def sealed(content: bytes) -> tuple[bytes, memoryview]:
    """Return `content`, a file whose header holds `UNKNOWN` under `KEY`, in two parts with its CRC-32 written in."""
    at = content.index(_MARK) + len(_MARK)
    end = at + len(UNKNOWN)
    return content[:at] + b"%08x" % zlib.crc32(content), memoryview(content)[end:]


def inspect_weights(path: Path) -> Inspection:
    """Read every byte of the weights file at `path`, and return what that shows; what cannot be read is damaged."""
    try:
        with os.fdopen(open_ordinary(path), "rb") as file:
            return _inspect(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        return Inspection("damaged", f"cannot be read: {error.strerror or error}", readable=False)


def _inspect(file: IO[bytes], size: int) -> Inspection:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if length > min(_MOST_HEADER, size - 8):
        return Inspection("damaged", "not a whole safetensors file (damaged?)")
    header = file.read(length)
    try:
        keys, end = _keys_and_end(json.loads(header))
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError):
        return Inspection("damaged", "not a whole safetensors file (damaged?)")
    if (at := header.find(_MARK)) >= 0:
        at += len(_MARK)
        crc, written = _crc32(start, header, at, file), header[at : at + len(UNKNOWN)]
        if crc == written:
            return Inspection("proved")
        found = written.decode("ascii", "backslashreplace")
        return Inspection("damaged", f"damaged: its CRC-32 is {crc.decode()}, but {found} was written")
    if end != size - 8 - length:
        return Inspection("damaged", "not a whole safetensors file (damaged?)")
    if "focus_format" not in keys:
        return Inspection("damaged", "was not written by focus export")
    if keys - _UNSEALED:  # the flipped bit may be in the name of the key
        return Inspection("damaged", f"damaged: its header holds {', '.join(sorted(keys - _UNSEALED))[:60]!r}")
    return Inspection("unproved")


def _keys_and_end(header: dict[str, Any]) -> tuple[set[str], int]:
    """Return the keys of the metadata, and where the tensors end [bytes]. Raises many errors if it is no header."""
    metadata = header.get("__metadata__", {})
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return set(metadata.keys()), max(ends, default=0)


def _crc32(start: bytes, header: bytes, at: int, file: IO[bytes]) -> bytes:
    """Return the digits of the CRC-32 of the file, read up to the tensors; its own begin `at` in the header."""
    crc = zlib.crc32(header[:at], zlib.crc32(start))
    crc = zlib.crc32(header[at + len(UNKNOWN) :], zlib.crc32(UNKNOWN.encode(), crc))
    while block := file.read(_BLOCK):
        crc = zlib.crc32(block, crc)
    return b"%08x" % crc
