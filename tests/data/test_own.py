"""Own data: what is read is what the configuration says, wherever it lies, and nothing else is trained on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from discrete_vae.cli import command as cli
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset, Shape, Split, load, read
from discrete_vae.errors import InputError
from discrete_vae.evaluation import evaluate
from discrete_vae.evaluation.grids import grid
from discrete_vae.runs import Run
from discrete_vae.tasks import Architecture, Supervision
from discrete_vae.training import loop as training
from tests.data.pictures import noise, save

COLOUR = noise(40, 5, 7, 3)
SMALL = {"architecture": Architecture(3, 2, (8,)), "batch_size": 10, "epochs": 1}
PRINT = {"dataset": "own", "shape": (5, 7, 3), "sizes": (4, 3, 2), "fingerprint": "0" * 32}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 20 images."""
    save(tmp_path / "pets" / "cats", COLOUR[:20])
    return save(tmp_path / "pets" / "dogs", COLOUR[20:]).parent


def splits(count: int = 20, pixels: int = 35, **fields: Any) -> list[Split]:
    images = torch.from_numpy(noise(3 * count, pixels)).split(count)
    return [replace(Split(each, torch.arange(count) % 2, 255), **fields) for each in images]


def command(*words: object) -> int:
    return cli.run(cli.application("vae"), [str(word) for word in words])


# Reading.


def test_each_image_is_in_one_split_and_the_seed_draws_which(folder: Path) -> None:
    data = read(folder, binarisation="none", validation=0.2, test=0.25)
    assert data.config.split_sizes == (22, 8, 10)
    together = torch.cat([data.train.pixels, data.validation.pixels, data.test.pixels]).numpy()
    assert {row.tobytes() for row in together} == {row.tobytes() for row in COLOUR}
    again, other = (
        read(folder, binarisation="none", validation=0.2, test=0.25, split_seed=seed) for seed in (0, 2**63 - 1)
    )
    assert again.config == data.config
    assert again.test.pixels.equal(data.test.pixels)
    assert {row.tobytes() for row in other.test.pixels.numpy()} != {row.tobytes() for row in data.test.pixels.numpy()}
    assert other.config.fingerprint != data.config.fingerprint


@pytest.mark.parametrize(
    ("path", "name"),
    [("Bilder von mir", "Bilder-von-mir"), ("mnist", "own-mnist"), ("Omniglot", "own-Omniglot"), ("äöü", "images")],
)
def test_names(tmp_path: Path, path: str, name: str) -> None:
    """No table takes own data for known ones."""
    assert read(save(tmp_path / path, COLOUR)).config.dataset == name
    assert read(tmp_path / path, name="mine").config.dataset == "mine"
    for refused in ("mnist", "MNIST", "8-gaussians", "a b", "", "-", "x" * 65):
        with pytest.raises(InputError, match="own data cannot be called"):
            read(tmp_path / path, name=refused)


def test_a_change_of_any_image_or_label_is_another_data_set(folder: Path) -> None:
    first = read(folder).config
    shutil.move(folder / "cats" / "003.png", folder / "dogs" / "zzz.png")
    moved = read(folder).config
    shutil.move(folder / "dogs" / "zzz.png", folder / "cats" / "003.png")
    assert read(folder).config == first
    changed = COLOUR[3].copy()
    changed[4, 6, 2] ^= 1
    Image.fromarray(changed).save(folder / "cats" / "003.png")
    assert len({config.fingerprint for config in (first, moved, read(folder).config)}) == 3


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_change_in_any_split_is_another_data_set(tmp_path: Path, split: str) -> None:
    for name in ("train", "validation", "test"):
        save(tmp_path / "own" / name, COLOUR[:5])
    before = read(tmp_path / "own").config
    Image.fromarray(COLOUR[9]).save(tmp_path / "own" / split / "002.png")
    after = read(tmp_path / "own").config
    assert before.sizes == after.sizes
    assert before.fingerprint != after.fingerprint


def test_binarisation_is_that_of_known_images(folder: Path) -> None:
    raw = read(folder, binarisation="none")
    data = read(folder)
    assert data.train.pixels.equal((raw.train.pixels > 127).byte())
    assert data.config.fingerprint == raw.config.fingerprint
    assert data.config != raw.config
    assert read(folder, binarisation="dynamic").train.dynamic
    drawn, other = (read(folder, binarisation="stochastic", binarisation_seed=seed).train.pixels for seed in (0, 1))
    assert drawn.max() == 1
    assert not drawn.equal(other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation": 0.0}, "validation is 0.0; give a share"),
        ({"test": 1.0}, "test is 1.0; give a share"),
        ({"validation": 0.5, "test": 0.5}, "leaves nothing to train on"),
        ({"split_seed": -1}, "split_seed -1 is no seed"),
        ({"image_size": (4,)}, r"image size is \[4\]; give rows and columns"),
        ({"image_size": (4, 0)}, r"image size is \[4, 0\]; give rows and columns"),
        ({"binarisation": "threshhold"}, "did you mean 'threshold'"),
        ({"binarisation_seed": 3}, "has no effect with binarisation"),
    ],
)
def test_settings_out_of_range_are_named(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(folder, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("splits", "setting", "message"),
    [
        (("train", "validation", "test"), {"split_seed": 1}, "split seed is 1, which has no effect: .* its own splits"),
        (("train", "test"), {"test": 0.2}, "test is 0.2, which has no effect: .* has its own test split"),
        (("train", "validation"), {"validation": 0.2}, "validation is 0.2, which has no effect"),
        (("train", "test"), {"validation": 0.2, "split_seed": 1}, ""),
    ],
)
def test_what_has_no_effect_is_refused(
    tmp_path: Path, splits: Sequence[str], setting: dict[str, Any], message: str
) -> None:
    for name in splits:
        save(tmp_path / "own" / name, COLOUR)
    if not message:
        assert read(tmp_path / "own", **setting).config.split_sizes == (32, 8, 40)
        return
    with pytest.raises(InputError, match=message):
        read(tmp_path / "own", **setting)


def test_what_is_at_no_path_names_both_possibilities(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("no images")
    with pytest.raises(
        InputError, match=r"unknown dataset 'mnits'; did you mean 'mnist'\? As a path, nothing is there"
    ):
        read("mnits")
    with pytest.raises(InputError, match=r"notes.md' is not understood: a path is a file .npz .* a known name is one"):
        read(tmp_path / "notes.md")


# The configuration.


def test_where_the_data_lie_is_no_part_of_a_run(folder: Path) -> None:
    here = read(folder).config
    there = replace(here, source="/elsewhere/pets")
    one, other = (Config(**SMALL, data=each) for each in (here, there))
    assert one == other
    assert one.identity == other.identity
    assert one.population_key == other.population_key
    assert one.to_dict()["data"]["source"] == str(folder)
    back = Config.from_dict(json.loads(json.dumps(one.to_dict())))
    assert back == one
    assert back.data.source == str(folder)


def test_known_data_are_told_as_before() -> None:
    """Runs that are stored keep their configuration and their identity."""
    assert Config().to_dict()["data"] == {
        "dataset": "binarised-mnist",
        "binarisation": "threshold",
        "binarisation_seed": 0,
    }
    assert Config().identity == "85972320195c"
    assert Config(data=DataConfig("mnist", "dynamic"), seed=3).data.split_sizes == (50_000, 10_000, 10_000)
    assert DataConfig("expressions").split_sizes == (50_000, 10_000, 10_000)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": "own"}, "unknown dataset 'own'.* Own images are read by discrete_vae.data.read"),
        ({**PRINT, "fingerprint": ""}, "gives them fingerprint"),
        ({**PRINT, "fingerprint": "0" * 31}, "give the 32 digits"),
        ({**PRINT, "fingerprint": 7}, "fingerprint is 7; give a text"),
        ({**PRINT, "dataset": "own data"}, "own data cannot be called 'own data'"),
        ({**PRINT, "shape": (5, 7)}, r"shape is \[5, 7\]; give rows, columns and channels"),
        ({**PRINT, "shape": (5, 7, 2)}, "give 1 channel"),
        ({**PRINT, "shape": (5, 7, "3")}, "shape is .* give rows"),
        ({**PRINT, "shape": (5, 7.0, 3)}, "shape is .* give rows"),
        ({**PRINT, "shape": "573"}, "shape is 573; give rows"),
        ({**PRINT, "sizes": (4, 3)}, r"sizes is \[4, 3\]; give the numbers of images"),
        ({**PRINT, "sizes": (4, True, 2)}, "sizes is .*give the numbers"),
        ({**PRINT, "sizes": (4, 0, 2)}, "sizes is .*give the numbers"),
        ({**PRINT, "image_size": (5, 8)}, r"image size is \[5, 8\], but the images are of \[5, 7\]"),
        ({**PRINT, "validation": "0.1"}, "validation is '0.1'; give a share"),
        ({**PRINT, "test": float("nan")}, "test is nan; give a share"),
        ({**PRINT, "test": 0}, "test is 0.0; give a share"),
        ({**PRINT, "split_seed": 0.5}, "split_seed 0.5 is no seed"),
        ({**PRINT, "source": 1}, "source is 1; give a text"),
        ({"dataset": ["mnist"]}, "unknown dataset"),
        ({"shape": (28, 28, 1)}, r"shape is \[28, 28, 1\], which has no effect with binarised-mnist"),
        ({"sizes": (4, 3, 2)}, "sizes is .* no effect with binarised-mnist"),
        ({"fingerprint": "0" * 32}, "fingerprint is .* no effect"),
        ({"source": "/here"}, "source is .* no effect"),
        ({"dataset": "mnist", "split_seed": 1}, "split seed is 1, which has no effect with mnist"),
        ({"dataset": "mnist", "validation": 0.2}, "validation is 0.2, which has no effect with mnist"),
        ({"dataset": "8-gaussians", "test": 0.2}, "test is 0.2, which has no effect with 8-gaussians"),
        ({"dataset": "mnist", "image_size": (5, 7)}, r"image size is \[5, 7\], which has no effect with mnist"),
    ],
)
def test_configurations_that_say_nothing_are_refused(fields: dict[str, Any], message: str) -> None:
    """As somebody may write them into a config.json."""
    with pytest.raises(InputError, match=message) as caught:
        Config.from_dict({"data": fields})
    assert "\n" not in str(caught.value)


def test_sizes_follow_the_data(folder: Path) -> None:
    data = read(folder).config
    assert data.domain.size == 105
    assert data.image_shape == Shape(5, 7, 3)
    run = Run(Path(), Config(**{**SMALL, "epochs": 3}, data=data))
    assert (run.steps_per_epoch, run.total_steps) == (3, 9)
    with pytest.raises(InputError, match="batch size is 33; give 1 to 32, the training images"):
        Config(batch_size=33, data=data)
    with pytest.raises(InputError, match="8-gaussians are no images"):
        _ = DataConfig("8-gaussians").image_shape


# What is trained on.


def test_a_hand_made_data_set_says_what_it_is() -> None:
    """Subsets of known data as well."""
    data = Dataset.of("mine", *splits(), shape=(5, 7), binarisation="none")
    data.check()
    assert data.config.shape == (5, 7, 1)
    assert data.config.split_sizes == (20, 20, 20)
    assert Dataset.of("mine", *splits(), shape=(5, 7), binarisation="none").config == data.config
    train, validation, test = splits()
    train.pixels[0, 0] ^= 1
    assert Dataset.of("mine", train, validation, test, shape=(5, 7)).config.fingerprint != data.config.fingerprint
    threshold = Dataset.of("mine", *splits(), shape=(5, 7))
    assert threshold.train.pixels.equal((splits()[0].pixels > 127).byte())
    with pytest.raises(InputError, match=r"was made by Dataset.of, and lies in no file"):
        load(data.config)


@pytest.mark.parametrize(
    ("made", "shape", "message"),
    [
        (splits(), (5, 6), "has 20 images of 35 pixels; give at least one, of the 30"),
        (splits(), (35,), r"shape is \(35,\); give rows, columns"),
        (splits(), (5, 7.0), "give rows, columns"),
        (splits(levels=1), (5, 7), "pixels up to 255 and levels 1"),
        (splits(levels=2), (5, 7), "levels 2"),
        (splits(dynamic=True), (5, 7), 'train is dynamic; give its grayscale images and binarisation "dynamic"'),
        (splits(labels=torch.zeros(20)), (5, 7), r"labels of torch.float32 \[20\]"),
        (splits(labels=torch.arange(20) - 1), (5, 7), "has label -1; give 0 or more, or -1 for all"),
        (splits(labels=torch.full((20,), -2)), (5, 7), "has label -2"),
        (splits(pixels=0), (5, 7), "20 images of 0 pixels"),
        (splits(labels=torch.zeros(3).long()), (5, 7), r"labels of torch.int64 \[3\]"),
    ],
)
def test_splits_that_are_no_images_are_refused(made: list[Split], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Dataset.of("mine", *made, shape=shape)
    assert "\n" not in str(caught.value)


def test_points_and_mixed_splits_are_refused() -> None:
    train, *others = splits()
    with pytest.raises(InputError, match=r"pixels of torch.float32 \[20, 35\]; own data are images"):
        Dataset.of("mine", replace(train, pixels=train.pixels.float()), *others, shape=(5, 7))
    binary = replace(train, pixels=train.pixels % 2, levels=1)
    with pytest.raises(InputError, match="the splits have levels 1, 255, 255"):
        Dataset.of("mine", binary, *others, shape=(5, 7))
    with pytest.raises(InputError, match="needs grayscale images, mine has none"):
        Dataset.of("mine", binary, binary, binary, shape=(5, 7), binarisation="dynamic")


def lies(data: Dataset) -> dict[str, Dataset]:
    few = replace(data.train, pixels=data.train.pixels[:-1], labels=data.train.labels[:-1])
    inverted = replace(data.train, pixels=data.train.levels - data.train.pixels)
    relabelled = replace(data.train, labels=data.train.labels.flip(0))
    narrow = replace(data.train, pixels=data.train.pixels[:, :-1])
    return {
        "has 60,000": replace(data, train=few),
        "made by hand": replace(data, train=inverted),
        "nothing says that it is": Dataset(data.config, data.train, data.validation, data.test),
        "by hand": replace(data, train=relabelled),
        "pixels an image": replace(data, train=narrow),
    }


@pytest.mark.parametrize("known", [True, False])
def test_a_data_set_that_is_not_what_it_says_is_refused(tmp_path: Path, known: bool) -> None:
    data = load() if known else Dataset.of("mine", *splits(), shape=(5, 7))
    data.check()
    run = Run(tmp_path / "away", Config(**SMALL, data=data.config))
    for what, lie in lies(data).items():
        message = "images, but " if what == "has 60,000" else what
        for use in (
            lambda lie=lie: training.train([run.config], tmp_path / "runs", lie),
            lambda lie=lie: evaluate([run], lie, "test", 1),
        ):
            with pytest.raises(InputError, match=message) as caught:
                use()
            assert "or make own data of these splits by Dataset.of(" in str(caught.value)
            assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("change", ["train.pixels", "test.labels"])
def test_a_data_set_changed_in_place_is_refused(change: str) -> None:
    data = Dataset.of("mine", *splits(), shape=(5, 7))
    split, field = change.split(".")
    getattr(data.split(split), field)[0] ^= 1
    with pytest.raises(InputError, match="was changed since mine was loaded"):
        data.check()


def test_images_without_labels_teach_no_classes(tmp_path: Path) -> None:
    data = Dataset.of("mine", *splits(labels=torch.full((20,), -1)), shape=(5, 7))
    own = Config(
        task="semi-supervised",
        architecture=Architecture(1, 2, (8,)),
        batch_size=10,
        supervision=Supervision(labelled=2),
        data=data.config,
    )
    with pytest.raises(InputError, match="images of mine have no labels, which semi-supervised learns from"):
        training.train([own], tmp_path, data)


# Moved, and changed.


def test_a_run_goes_on_after_its_images_were_moved(folder: Path, tmp_path: Path) -> None:
    data = read(folder)
    own = Config(**{**SMALL, "epochs": 2}, data=data.config)
    (half,) = training.train([own], tmp_path / "runs", data, prune=lambda epoch, metrics: list(metrics))
    assert not half.finished
    (tmp_path / "there").mkdir()
    moved = Path(shutil.move(folder, tmp_path / "there"))
    with pytest.raises(InputError, match=r"pets is not at .*pets any more: name where it lies now"):
        load(half.config.data)
    (whole,) = training.train([own], tmp_path / "runs", read(moved))
    assert whole.folder == half.folder
    assert whole.finished
    assert load(Run.open(whole.folder).config.data, moved).train.pixels.equal(data.train.pixels)


def test_other_content_is_refused_by_name(folder: Path) -> None:
    config = read(folder).config
    (folder / "cats" / "000.png").unlink()
    with pytest.raises(InputError, match=r"pets is not the pets that .* 39 images in place of 40"):
        load(config)
    Image.fromarray(COLOUR[1]).save(folder / "cats" / "000.png")
    with pytest.raises(InputError, match=r"it has other images or labels .* put that back, or train a new run"):
        load(config)


def test_a_moved_file_is_found_in_its_folder(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=COLOUR)
    config = read(tmp_path / "own.npz").config
    (tmp_path / "there").mkdir()
    shutil.move(tmp_path / "own.npz", tmp_path / "there")
    for place in (tmp_path / "there", tmp_path / "there" / "own.npz"):
        assert load(config, place).config == config
    with pytest.raises(InputError, match="own cannot be downloaded"):
        load(config, download=True)


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_a_renamed_file_is_named_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("own.npy", COLOUR)
    np.savez("own.npz", x=COLOUR)
    few = ["--latents", 3, "--categories", 2, "--hidden", 8, "--batch-size", 10, "--epochs", 1]
    assert command("train", "reinmax", "--dataset", f"own.{suffix}", *few) == 0
    (run,) = (tmp_path / "runs").iterdir()
    shutil.move(f"own.{suffix}", f"moved.{suffix}")
    (tmp_path / "empty").mkdir()
    np.savez("other.npz", x=COLOUR[:30])
    for place, message in (
        ("", f"own is not at {tmp_path / 'own'}.{suffix} any more: name where it lies now (--folder PATH"),
        ("empty", f"own is not in empty, which has no own.{suffix}: name where it lies now (--folder PATH"),
        ("absent.npz", "own is not at absent.npz any more"),
        ("other.npz", "30 images in place of 40"),
        ("/dev/null", "'/dev/null' is no regular file; name a file or folder"),
    ):
        assert command("evaluate", run.name, "--samples", 2, *(["--folder", place] if place else [])) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert command("evaluate", run.name, "--samples", 2, "--folder", f"moved.{suffix}") == 0


def test_a_moved_folder_is_found_by_its_path_or_in_its_folder(folder: Path, tmp_path: Path) -> None:
    """Also where a class is called like the folder was."""
    config = read(folder).config
    (folder / "cats").rename(folder / "pets")
    alike = read(folder).config
    (tmp_path / "there").mkdir()
    moved = Path(shutil.move(folder, tmp_path / "there" / "animals"))
    assert load(alike, moved).config == alike
    moved = moved.rename(moved.with_name("pets"))
    assert load(alike, tmp_path / "there").config == alike
    (moved / "pets").rename(moved / "cats")
    for place in (moved, moved.parent):
        assert load(config, place).config == config


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist", "omniglot"])
def test_known_data_are_in_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: str) -> None:
    (tmp_path / "own.npz").touch()
    assert command("train", "reinmax", "--dataset", dataset, "--folder", tmp_path / "own.npz") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"own.npz' is a file; name a folder, the one that holds the files of {dataset}" in told


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"validation": 0.2},
            r"28 \+ 8 \+ 4 images for training, validation and test in place of 32 \+ 4 \+ 4 "
            r"\(validation 0.2, test 0.1\) and other content \(fingerprint (\w{8}), not (?!\1)\w{8}\): put that back",
        ),
        ({"shape": (7, 5, 3)}, "it has images of shape 5x7x3 in place of 7x5x3: put those of the images into its con"),
        ({"sizes": (31, 4, 4)}, "it has 40 images in place of 39: put those of the images into its config.json"),
        ({"split_seed": 1}, r"it has other images or labels \(fingerprint (\w{8}), not (?!\1)\w{8}\): put that back"),
    ],
)
def test_what_differs_is_named(folder: Path, fields: dict[str, Any], message: str) -> None:
    """As after a change of config.json by hand."""
    config = read(folder).config
    with pytest.raises(InputError, match=message):
        load(replace(config, **fields))


def test_fingerprints_that_differ_late_are_told_whole(folder: Path) -> None:
    config = read(folder).config
    last = "0" if config.fingerprint[-1] != "0" else "1"
    with pytest.raises(InputError, match=rf"fingerprint {config.fingerprint}, not {config.fingerprint[:-1]}{last}\)"):
        load(replace(config, fingerprint=config.fingerprint[:-1] + last))


# The command line.


@pytest.mark.parametrize("binarisation", ["threshold", "none"])
def test_commands_take_own_images(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], binarisation: str
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("COLUMNS", "300")
    settings = ["--latents", 3, "--categories", 2, "--hidden", 8, "--batch-size", 10, "--epochs", 1]
    own = ["--image-size", 4, 6, "--validation", 0.2, "--split-seed", 1, "--binarisation", binarisation]
    assert command("train", "reinmax", "--dataset", "pets", *settings, *own) == 0
    (run,) = (folder.parent / "runs").iterdir()
    data = Run.open(run).config.data
    assert (data.dataset, data.shape, data.sizes, data.split_seed) == ("pets", (4, 6, 3), (28, 8, 4), 1)
    assert command("sample", run.name, "--rows", 2, "--columns", 5) == 0
    assert np.asarray(Image.open(run / "samples.png")).shape == (8, 30, 3)
    assert command("evaluate", run.name, "--samples", 2) == 0
    shutil.move("pets", "animals")
    assert command("evaluate", run.name, "--samples", 3) == 2
    assert "pets is not at" in capsys.readouterr().err
    assert command("evaluate", run.name, "--samples", 3, "--folder", "animals") == 0
    assert command("list") == 0
    assert f"fingerprint={data.fingerprint[:8]}" in capsys.readouterr().out


def test_a_known_name_is_taken_before_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "mnist", COLOUR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("discrete_vae.data.download.cache_folder", lambda source: tmp_path / "cache")
    few = ["--hidden", 8, "--batch-size", 10, "--epochs", 1]
    assert command("train", "reinmax", "--dataset", "mnist", *few) == 2
    assert "mnist is not whole in the cache" in capsys.readouterr().err
    assert command("train", "reinmax", "--dataset", "./mnist", *few) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert Run.open(run).config.data.dataset == "own-mnist"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--dataset nowhere", "unknown dataset 'nowhere'"),
        ("--dataset ''", "is no name and no path"),
        ("--dataset pets --folder .", "folder . has no effect with the dataset at pets"),
        ("--dataset pets --download", "download has no effect with the dataset at pets"),
        ("--dataset pets --image-size 4", "give rows and columns"),
        ("--dataset pets --validation 0.6 --test 0.6", "leaves nothing to train on"),
        ("--dataset mnist --image-size 4 4", "which has no effect with mnist"),
        ("--split-seed 1", "split seed is 1, which has no effect with binarised-mnist"),
        ("--dataset pets --batch-size 33", "give 1 to 32"),
        ("--shape 5 7 3", "--shape"),
        ("--fingerprint 0", "--fingerprint"),
    ],
)
def test_the_command_line_names_what_is_wrong(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    monkeypatch.chdir(folder.parent)
    assert command("train", "reinmax", *("" if word == "''" else word for word in words.split())) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in told
    assert not (folder.parent / "runs").exists()


def test_more_than_the_memory_holds_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("discrete_vae.memory.available", lambda device: 1000)
    monkeypatch.setattr("discrete_vae.data.image_folder.pixels", pytest.fail)
    assert command("train", "reinmax", "--dataset", folder) == 2
    assert "40 images of 5x7x3: at least 8.2 KiB of memory, and cpu has 1,000 bytes left" in capsys.readouterr().err


def test_grids_have_the_colours_and_the_shape_of_the_data() -> None:
    """Known images are white on black, and shown as ink."""
    data = Dataset.of("mine", *splits(pixels=105), shape=(5, 7, 3), binarisation="none")
    images = data.train.batch(torch.arange(6).unsqueeze(0)).squeeze(0)
    shown = np.asarray(grid(images, 2, 3, data.config))
    tiles = data.train.pixels[:6].numpy().reshape(2, 3, 5, 7, 3)
    assert (shown == np.concatenate(list(np.concatenate(list(tiles.transpose(1, 0, 2, 3, 4)), 2)), 0)).all()
    digits = np.asarray(grid(load().test.pixels[:2].float(), 1, 2, DataConfig()))
    assert (digits[:, :28] == 255 - 255 * load().test.pixels[0].view(28, 28).numpy()).all()
