"""The shipped binarised MNIST: what is in it, that damage is noticed, that it is rebuilt bit by bit."""

import hashlib
import lzma
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from discrete_vae.data import DataConfig, bundled, load
from discrete_vae.data.build import main
from discrete_vae.data.sources import SOURCES, read
from discrete_vae.errors import InputError


def test_counts() -> None:
    data = load()
    assert [len(split) for split in (data.train, data.validation, data.test)] == [50_000, 10_000, 10_000]
    # Images of the digits 0 to 9, as the MNIST files have them.
    file_counts = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    validation_counts = data.validation.labels.bincount().numpy()
    assert validation_counts.tolist() == [991, 1064, 990, 1030, 983, 915, 967, 1090, 1009, 961]
    assert (data.train.labels.bincount().numpy() == file_counts - validation_counts).all()
    assert data.test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for split in (data.train, data.validation, data.test):
        assert split.pixels.shape == (len(split), 784)
        assert split.pixels.max() == 1
        assert (split.levels, split.dynamic) == (1, False)


def test_the_shipped_images_are_mnist_above_127(mnist_folder: Path) -> None:
    shipped, original = bundled.decode(bundled.read_file()), read(SOURCES["mnist"], mnist_folder)
    np.testing.assert_array_equal(shipped.pixels, original.pixels > 127)
    np.testing.assert_array_equal(shipped.labels, original.labels)


def test_threshold_of_the_grayscale_files_is_the_shipped_data(mnist_folder: Path) -> None:
    shipped, thresholded = load(), load(DataConfig("mnist"), mnist_folder)
    for name in ("train", "validation", "test"):
        assert thresholded.split(name).pixels.equal(shipped.split(name).pixels)
        assert thresholded.split(name).labels.equal(shipped.split(name).labels)
        assert thresholded.split(name).levels == 1


def test_the_rebuilt_bytes_are_the_shipped_bytes(mnist_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "rebuilt.xz"
    assert main([str(mnist_folder), "--output", str(output)]) == 0
    rebuilt = output.read_bytes()
    assert hashlib.sha256(lzma.decompress(rebuilt)).hexdigest() == bundled.CONTENT_SHA256
    assert rebuilt == bundled.read_file()  # may only fail where liblzma compresses in another way


def test_build_compares(
    mnist_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundled, "encode", lambda images: bundled.read_file())
    assert main([str(mnist_folder)]) == 0
    assert "1485332 bytes, identical to the shipped" in capsys.readouterr().out
    monkeypatch.setattr(bundled, "encode", lambda images: b"other")
    assert main([str(mnist_folder)]) == 1
    assert "DIFFERENT from the shipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "reason"),
    [("", "is no name"), ("/dev/null/file", "cannot be reached (Not a directory)"), (".", "a folder")],
)
def test_an_output_that_is_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, reason: str
) -> None:
    assert main([str(tmp_path), "--output", output]) == 2
    assert reason in capsys.readouterr().err


def test_build_tells_bad_input_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "has no file train-images-idx3-ubyte" in error
    assert error.count("\n") == 1


def test_damage_is_noticed() -> None:
    shipped = bundled.read_file()
    with pytest.raises(InputError, match=r"^binarised_mnist.xz is corrupt .*: reinstall the package$"):
        bundled.decode(shipped[:1000] + b"\0" + shipped[1001:])
    with pytest.raises(InputError, match=r"^binarised_mnist.xz is corrupt .*: reinstall the package$"):
        bundled.decode(shipped[:-1000])
    with pytest.raises(InputError, match=r"is corrupt \(SHA-256 .* not 1ed78d835d8742ca...\): reinstall"):
        bundled.decode(lzma.compress(b"other content"))


def test_a_missing_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "FILE_NAME", "absent.xz")
    with pytest.raises(InputError, match=r"absent.xz cannot be read .*: reinstall the package"):
        load()


def test_the_licence_is_shipped() -> None:
    text = (files("discrete_vae.data") / "LICENSE-MNIST.md").read_text()
    assert "CC BY-SA 3.0" in text
    assert all(author in text for author in ("LeCun", "Cortes", "Burges"))


def test_the_small_data_set_has_the_first_images_of_each_split() -> None:
    whole, few = load(), load(DataConfig("binarised-mnist-1000"))
    for name in ("train", "validation", "test"):
        own = few.split(name)
        assert len(own) == 1000
        assert own.pixels.equal(whole.split(name).pixels[:1000])
        assert own.labels.equal(whole.split(name).labels[:1000])
    with pytest.raises(InputError, match="binarised-mnist-1000 has none"):
        DataConfig("binarised-mnist-1000", "dynamic")
