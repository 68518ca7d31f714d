"""IDX files: round trip, the names they are found under, and each way they can be broken."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from discrete_vae.data import idx
from discrete_vae.errors import InputError

NAME = "train-images-idx3-ubyte"
IMAGES = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28)


@pytest.mark.parametrize("name", ["a", "a.gz"])
@pytest.mark.parametrize("array", [IMAGES, np.array([3, 1, 4], np.uint8), np.empty(0, np.uint8)])
def test_round_trip(tmp_path: Path, name: str, array: np.ndarray) -> None:
    idx.write(tmp_path / name, array)
    assert (tmp_path / name).read_bytes().startswith(idx.GZIP_MAGIC) == name.endswith(".gz")
    np.testing.assert_array_equal(idx.read(tmp_path / name, array.ndim), array, strict=True)


def test_the_header_is_as_the_format_says(tmp_path: Path) -> None:
    idx.write(tmp_path / "a", IMAGES)
    header = bytes.fromhex("00000803 00000002 0000001c 0000001c")
    assert (tmp_path / "a").read_bytes() == header + IMAGES.tobytes()


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz", "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz"])
def test_find_knows_the_names_in_use(tmp_path: Path, name: str) -> None:
    idx.write(tmp_path / name, IMAGES)
    assert idx.find(tmp_path, NAME) == tmp_path / name


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    idx.write(tmp_path / "a.gz", IMAGES)
    (tmp_path / "a.gz").rename(tmp_path / "a")
    np.testing.assert_array_equal(idx.read(tmp_path / "a", 3), IMAGES)


def test_missing_file_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        idx.find(tmp_path, NAME)
    assert str(caught.value) == (
        f"{tmp_path} has no file {NAME} (looked for {NAME}, {NAME}.gz, train-images.idx3-ubyte, "
        "train-images.idx3-ubyte.gz): name the folder of the IDX files"
    )


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent is not a folder: name the folder that holds train-images"):
        idx.find(tmp_path / "absent", NAME)


CONTENT = bytes.fromhex("00000803 00000002 0000001c 0000001c") + IMAGES.tobytes()
COMPRESSED = gzip.compress(CONTENT, mtime=0)
BROKEN = {
    "empty": (b"", "is truncated (0 of 16 header bytes): fetch it again"),
    "short header": (CONTENT[:9], "is truncated (9 of 16 header bytes): fetch it again"),
    "truncated": (CONTENT[:-1], "is truncated (1567 of 1568 bytes after the header): fetch it again"),
    "trailing": (CONTENT + b"ab", "has 2 trailing bytes after the 1568 it states: fetch it again"),
    "labels for images": (
        bytes.fromhex("00000801 00000001 07"),
        "starts with 0x00000801, not with 0x00000803, the magic number of an IDX file of 3 dimensions",
    ),
    "a web page": (b"<html></html>", "starts with 0x3c68746d, not with 0x00000803"),
    "huge sizes": (
        bytes.fromhex("00000803" + "ff" * 12),
        "is truncated (0 of 79228162458924105385300197375 bytes",
    ),
    "gzip cut": (COMPRESSED[:-20], "is a corrupt gzip file (Compressed file ended before"),
    "gzip garbled": (COMPRESSED[:40] + b"\xff" * 20 + COMPRESSED[60:], "is a corrupt gzip file ("),
    "gzip checksum": (COMPRESSED[:-8] + b"\0" * 8, "is a corrupt gzip file (CRC check failed"),
    "gzip trailing": (COMPRESSED + b"ab", "is a corrupt gzip file (Not a gzipped file"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_told_in_one_line(tmp_path: Path, case: str) -> None:
    content, message = BROKEN[case]
    path = tmp_path / NAME
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        idx.read(path, 3)
    assert str(caught.value).startswith(f"{path} {message}")
    assert "\n" not in str(caught.value)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\): check that it is a readable file"):
        idx.read(tmp_path, 3)
