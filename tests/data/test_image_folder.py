"""Folders of images: the pixels are those of the files, and what would be guessed, clipped or left out is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from discrete_vae.data import Dataset, Shape, read
from discrete_vae.errors import InputError
from tests.data.pictures import noise, save

GRAY, COLOUR = noise(20, 5, 7), noise(20, 5, 7, 3)


def rows(data: Dataset) -> set[bytes]:
    return {image.numpy().tobytes() for split in (data.train, data.validation, data.test) for image in split.pixels}


def expected(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> set[bytes]:
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "PGM"])
def test_grayscale(tmp_path: Path, suffix: str) -> None:
    folder = save(tmp_path / "own", GRAY, suffix)
    if suffix == "webp":  # has no grayscale, and loses some
        assert read(folder).config.image_shape == Shape(5, 7, 3)
        return
    data = read(folder, binarisation="none")
    assert data.config.image_shape == Shape(5, 7, 1)
    assert rows(data) == expected(GRAY)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm"])
def test_colour(tmp_path: Path, suffix: str) -> None:
    data = read(save(tmp_path / "own", COLOUR, suffix), binarisation="none")
    assert data.config.image_shape == Shape(5, 7, 3)
    assert rows(data) == expected(COLOUR)


def test_one_image_of_colour_makes_all_colour(tmp_path: Path) -> None:
    folder = save(tmp_path / "own", GRAY)
    save(folder, COLOUR[:1], first=20)
    data = read(folder, binarisation="none")
    assert rows(data) == expected(COLOUR[:1]) | expected(GRAY[..., None].repeat(3, 3))


def test_binary_and_palette_files(tmp_path: Path) -> None:
    folder = save(tmp_path / "own", GRAY)
    Image.fromarray(GRAY[0] > 127).save(folder / "bits.png")
    shades = Image.fromarray(GRAY[1]).convert("P")
    shades.save(folder / "palette.png")
    data = read(folder, binarisation="none")
    assert data.config.image_shape == Shape(5, 7, 1)
    assert ((GRAY[0] > 127) * np.uint8(255)).tobytes() in rows(data)
    Image.fromarray(COLOUR[1]).convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png")
    assert read(folder).config.image_shape == Shape(5, 7, 3)


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    folder = save(tmp_path / "own", GRAY)
    before = read(folder).config
    (folder / ".DS_Store").write_bytes(b"junk")
    (folder / "._000.png").write_bytes(b"junk")
    (folder / "readme.txt").write_text("junk")
    (folder / ".git").mkdir()
    assert read(folder).config == before


def test_classes_are_the_sorted_folders(tmp_path: Path) -> None:
    for name, images in (("dogs", GRAY[:8]), ("Cats", GRAY[8:15]), ("ants", GRAY[15:])):
        save(tmp_path / "own" / name, images)
    data = read(tmp_path / "own", binarisation="none")
    classes = {image.tobytes(): label for image, label in zip(GRAY, [2] * 8 + [0] * 7 + [1] * 5, strict=True)}
    for split in (data.train, data.validation, data.test):
        assert [classes[image.numpy().tobytes()] for image in split.pixels] == split.labels.tolist()


@pytest.mark.parametrize("name", ["validation", "val", "valid", "Val"])
def test_splits_of_classes(tmp_path: Path, name: str) -> None:
    own = tmp_path / "own"
    save(own / "train" / "a", GRAY[:6])
    save(own / "train" / "b", GRAY[6:9])
    save(own / name / "b", GRAY[9:11])
    save(own / "test" / "a", GRAY[11:12])
    save(own / "test" / "b", GRAY[12:15])
    data = read(own, binarisation="none")
    assert data.config.split_sizes == (9, 2, 4)
    assert [split.labels.tolist() for split in (data.train, data.validation, data.test)] == [
        [0] * 6 + [1] * 3,
        [1, 1],
        [0, 1, 1, 1],
    ]
    assert (data.test.pixels.numpy() == GRAY[11:15].reshape(4, -1)).all()


@pytest.mark.parametrize(("labels", "wanted"), [("2 0 7 0", [2, 0, 7, 0]), ("b a c a", [1, 0, 2, 0])])
def test_labels_of_a_table(tmp_path: Path, labels: str, wanted: list[int]) -> None:
    own = save(tmp_path / "own", GRAY[:4])
    lines = [f"{place:03}.png,{label}" for place, label in enumerate(labels.split())]
    (own / "labels.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    data = read(own, binarisation="none")
    known = {image.tobytes(): label for image, label in zip(GRAY, wanted, strict=False)}
    for split in (data.train, data.validation, data.test):
        assert [known[image.numpy().tobytes()] for image in split.pixels] == split.labels.tolist()


@pytest.mark.parametrize("header", [" file , label ", "label,file", "\ufefffile,label,note"])
def test_the_header_of_a_table(tmp_path: Path, header: str) -> None:
    own = save(tmp_path / "own", GRAY[:4])
    cells = {"file": "{0:03}.png", "label": '"a, {0}"', "note": "new"}
    row = ",".join(cells[name.strip(" \ufeff")] for name in header.split(","))
    (own / "labels.csv").write_text("\n".join([header, *map(row.format, range(4))]), encoding="utf-8")
    data = read(own)
    assert sorted(torch.cat([data.train.labels, data.validation.labels, data.test.labels]).tolist()) == [0, 1, 2, 3]


def test_images_of_several_sizes_cover_the_wanted_one(tmp_path: Path) -> None:
    """White to the left and black to the right: cut at the centre, half of each is left, whatever the shape was."""
    folder = tmp_path / "own"
    folder.mkdir()
    for place, size in enumerate([(8, 40), (40, 8), (16, 16), (12, 20)]):
        image = np.zeros(size, np.uint8)
        image[:, : size[1] // 2] = 255
        Image.fromarray(image).save(folder / f"{place}.png")
    data = read(folder, image_size=(4, 4), binarisation="none")
    assert data.config.image_shape == Shape(4, 4, 1)
    for image in data.train.pixels.view(-1, 4, 4):
        assert image.float().mean() == pytest.approx(127.5, abs=3)
        assert (image[:, 0] == 255).all()
        assert (image[:, 3] == 0).all()


def test_nothing_is_squeezed(tmp_path: Path) -> None:
    """Of an image five times as wide as high the middle fifth is left, and of a high one the middle rows."""
    folder = tmp_path / "own"
    folder.mkdir()
    wide = np.zeros((8, 40), np.uint8)
    wide[:, 14:26] = 200
    for place, image in enumerate((wide, wide.T, wide)):
        Image.fromarray(image).save(folder / f"{place}.png")
    assert (read(folder, image_size=(4, 4), binarisation="none").train.pixels == 200).all()
    flat = read(folder, image_size=(2, 6), binarisation="none")
    assert flat.config.image_shape == Shape(2, 6, 1)


def test_a_photo_that_lies_on_its_side_stands(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for place in range(3):
        image = Image.fromarray(np.zeros((8, 16), np.uint8) + np.uint8(100))
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(folder / f"{place}.jpg", exif=exif)
    assert read(folder).config.image_shape == Shape(16, 8, 1)


def deep_gray(path: Path) -> None:
    Image.fromarray(np.full((5, 7), 40_000, np.uint16)).save(path)


def floats(path: Path) -> None:
    Image.fromarray(np.full((5, 7), 0.5, np.float32)).save(path.with_suffix(".tif"))


def deep_colour(path: Path) -> None:
    """16 bits a channel, which Pillow would read as 8."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"".join(b"\0" + bytes(7 * 6) for _ in range(5)))
    head = struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def deep_ppm(path: Path) -> None:
    path.with_suffix(".ppm").write_bytes(b"P6 7 5 65535\n" + bytes(5 * 7 * 6))


def print_colours(path: Path) -> None:
    Image.fromarray(COLOUR[0]).convert("CMYK").save(path.with_suffix(".jpg"))


def transparent(path: Path) -> None:
    Image.fromarray(noise(1, 5, 7, 4)[0]).save(path)


def transparent_colour(path: Path) -> None:
    Image.fromarray(COLOUR[0]).save(path, transparency=tuple(COLOUR[0, 0, 0].tolist()))


def animated(path: Path) -> None:
    frames = [Image.fromarray(each) for each in GRAY[:3]]
    frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:])


def larger(path: Path) -> None:
    Image.fromarray(noise(1, 6, 7)[0]).save(path)


def truncated(path: Path) -> None:
    Image.fromarray(noise(1, 5, 7)[0]).save(path)
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (deep_gray, r"odd.png has (mode I|16 bits).*: convert it to 8 bits"),
        (deep_colour, "odd.png has 16 bits: convert it to 8 bits"),
        (deep_ppm, "odd.ppm has 16 bits: convert it to 8 bits"),
        (floats, "odd.tif has mode F: convert it to 8 bits"),
        (print_colours, "odd.jpg has mode CMYK"),
        (transparent, "odd.png is transparent: put it on a background first"),
        (transparent_colour, "odd.png is transparent"),
        (animated, "odd.gif has 3 frames: save each as an image of its own"),
        (larger, r"odd.png has 6x7 pixels, but 000.png has 5x7: give an image size \(--image-size 5 7\)"),
        (truncated, "odd.png cannot be read .*: fix it, or delete it"),
        (lambda path: path.write_bytes(b"no image"), "odd.png is no image that can be read"),
        (lambda path: path.write_bytes(b""), "odd.png is no image that can be read"),
        (lambda path: path.symlink_to("nowhere"), "odd.png cannot be read"),
    ],
)
def test_images_that_are_not_taken_are_named(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    folder = save(tmp_path / "own", GRAY)
    spoil(folder / "odd.png")
    with pytest.raises(InputError, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_an_alpha_channel_that_hides_nothing_is_left_out(tmp_path: Path) -> None:
    opaque = np.concatenate([COLOUR, np.full((20, 5, 7, 1), 255, np.uint8)], 3)
    assert rows(read(save(tmp_path / "own", opaque), binarisation="none")) == expected(COLOUR)


def table(own: Path, text: str) -> None:
    save(own, GRAY[:3])
    (own / "labels.csv").write_text(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda own: own.mkdir(), "own has no images"),
        (lambda own: save(own, GRAY[:2]), "2 images, too few to split: give at least 3"),
        (lambda own: (save(own, GRAY), save(own / "cats", GRAY)), "has images beside the folder cats"),
        (lambda own: (save(own / "train", GRAY), save(own / "cats", GRAY)), "has cats beside its splits train"),
        (lambda own: (save(own / "train", GRAY), save(own, GRAY)), "has 000.png beside its splits train"),
        (lambda own: save(own / "test", GRAY), "images for test, but none for training"),
        (lambda own: [save(own / each, GRAY) for each in ("train", "val", "valid")], "two folders of one split"),
        (lambda own: save(own / "cats" / "old", GRAY), "cats is a class and has a folder old"),
        (lambda own: (save(own / "cats", GRAY), (own / "dogs").mkdir()), "dogs is a class without images"),
        (
            lambda own: (save(own / "train" / "cats", GRAY), save(own / "test", GRAY)),
            "splits with folders of classes and with no labels: label all in one way",
        ),
        (lambda own: table(own, "file,label\n000.png,1\n"), "no row for 001.png"),
        (lambda own: table(own, "file,label\n000.png,1\n000.png,2\n"), "names '000.png' twice"),
        (lambda own: table(own, "file,label\n9.png,1\n"), "names '9.png', which is no image beside it"),
        (lambda own: table(own, "file,label\n000.png\n"), "has no label for '000.png'"),
        (lambda own: table(own, "name,class\n000.png,1\n"), "has the columns name, class: give file,label"),
        (lambda own: table(own, ""), "has the columns none"),
        (lambda own: table(own, "file,label\n"), "has the columns file, label: give file,label and a row an image"),
        (lambda own: table(own, "file,label\n000.png,cat\n\n001.png,dog, old\n"), "3 cells in line 4, but 2 columns"),
    ],
)
def test_folders_that_do_not_fit_together_are_named(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "own")
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / "own")
    assert "\n" not in str(caught.value)


def test_progress_is_told_and_memory_asked_for(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    @contextmanager
    def counting(label: str, total: int) -> Iterator[Callable[[int], None]]:
        done: list[int] = []
        yield done.append
        told.append((label, total, sum(done)))

    asked: list[tuple[int, str]] = []
    folder = save(tmp_path / "own", COLOUR)
    read(folder, progress=counting, require=lambda size, what: asked.append((size, what)))
    assert told == [("looking through own", 20, 20), ("reading own", 20, 20)]
    assert asked == [(2 * 20 * 5 * 7 * 3, f"{folder} with 20 images of 5x7x3")]
