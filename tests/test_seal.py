"""The CRC-32 at the end of checkpoint files: the same however the file is written, and a valid zip archive."""

import zipfile
import zlib
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus_engine.seal import MARK, SealedFile, inspect


def archive() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a", bytes(range(64)))
        made.writestr("b", b"")
    return file.getvalue()


def sealed(parts: list[bytes]) -> bytes:
    file = BytesIO()
    writer = SealedFile(file)
    for part in parts:
        assert writer.write(part) == len(part)
    writer.finish()
    return file.getvalue()


@given(st.lists(st.integers(0, len(archive())), max_size=12))
def test_the_seal_does_not_depend_on_how_the_file_was_written(cuts: list[int]):
    content, places = archive(), [0, *sorted(cuts), len(archive())]
    parts = [content[start:stop] for start, stop in pairwise(places)]
    assert sealed(parts) == sealed([content])


def test_a_sealed_file_is_a_zip_archive_whose_comment_is_the_crc_of_the_rest():
    content = sealed([archive()])
    with zipfile.ZipFile(BytesIO(content)) as read:
        assert read.testzip() is None
        assert read.namelist() == ["a", "b"]
        assert read.comment == MARK + b"%08x" % zlib.crc32(content[:-8])
    assert inspect(BytesIO(content)).condition == "proved"
    assert inspect(BytesIO(archive())).condition == "unproved"


def test_every_flipped_bit_every_lost_byte_and_every_longer_file_is_damaged():
    content = sealed([archive()])
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        assert inspect(BytesIO(damaged)).condition == "damaged", bit
    assert {inspect(BytesIO(content[:length])).condition for length in range(len(content))} == {"damaged"}
    assert inspect(BytesIO(content + b"\0")).condition == "damaged"


def test_only_an_archive_can_be_sealed():
    for content in (b"", b"text" * 20, sealed([archive()])):
        with pytest.raises(ValueError, match="only a zip file without a comment"):
            sealed([content])
