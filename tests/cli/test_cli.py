"""The command line: what it does, and one line with exit code 2 for every bad input."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from discrete_vae.arithmetic import arithmetic
from discrete_vae.cli import command as cli
from discrete_vae.cli.listing import find_run
from discrete_vae.cli.where import choose_device
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.runs import run as runs
from discrete_vae.schedules import Schedule

FEW = ["--dataset", "binarised-mnist-1000", "--batch-size", "40", "--epochs", "1"]
SMALL = ["--latents", "3", "--categories", "4", "--hidden", "16", *FEW]


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    return exit_.value.code or 0  # type: ignore[return-value]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_evaluate_sample_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "gumbel-softmax", "--temperature", "0.7", "--seeds", "2", *SMALL) == 0
    first, second = runs.find(folder / "runs")
    assert {first.config.seed, second.config.seed} == {0, 1}
    assert first.finished
    assert str(first.config.options.temperature) == "0.7"

    assert call("evaluate", first.folder.name, str(second.folder), "--samples", "3", "--split", "validation") == 0
    assert set(first.evaluation()["samples"]) == {1, 3}

    other = shutil.copytree(first.folder, folder / "elsewhere" / first.folder.name)
    capsys.readouterr()
    assert call("evaluate", first.folder.name, str(other), "--samples", "3") == 2
    assert "have one configuration; evaluate them one at a time" in " ".join(capsys.readouterr().err.split())

    name = first.folder.name
    assert call("sample", name[: len(name) - 2], "--rows", "2", "--columns", "5", "--out", "grid.png") == 0
    for own in (first.folder / "config.json", first.folder / "history.csv", *first.folder.glob("*.safetensors")):
        content = own.read_bytes()
        assert call("sample", name, "--out", str(own)) == 2
        assert own.read_bytes() == content
    grid = np.asarray(Image.open(folder / "grid.png"))
    assert grid.shape == (56, 140)
    assert grid.std() > 0

    capsys.readouterr()
    assert call("list") == 0
    assert first.config.identity in capsys.readouterr().out
    assert find_run(first.config.identity[:8], folder / "runs") == first


def test_a_terminal_of_80_columns_shows_whole_numbers_and_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train", "gumbel-softmax", "--keep", "best", *SMALL) == 0
    (run,) = runs.find(folder / "runs")
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich this is a terminal
    assert call("list") == 0
    shown = capsys.readouterr().out
    values = run.validation(1)
    for each in (
        "gumbel",
        run.config.identity,
        *(f"{values[name]:.2f}" for name in ("elbo", "reconstruction_hard", "kl")),
    ):
        assert each in shown
    assert "…" not in shown


def test_sampling_other_models(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two layers are sampled from the top; what predicts halves of images has no prior, and says so."""
    for extra in ([], ["--task", "structured-prediction"]):
        assert call("train", "reinmax", "--layers", "2", *extra, *SMALL) == 0
    found = {run.config.task: run.folder.name for run in runs.find(folder / "runs")}
    assert call("sample", found["vae"], "--out", "grid.png", "--rows", "1") == 0
    assert np.asarray(Image.open(folder / "grid.png")).shape == (28, 224)
    assert call("sample", found["structured-prediction"]) == 2
    assert "no prior" in capsys.readouterr().err


def test_widths_are_given_in_a_row_or_one_by_one(folder: Path) -> None:
    for words in (["--hidden", "16", "8"], ["--hidden", "8", "--hidden", "16"]):
        assert call("train", "gumbel-softmax", *words, "--epochs", "1", "--batch-size", "5000") == 0
    assert {run.config.architecture.hidden for run in runs.find(folder / "runs")} == {(16, 8), (8, 16)}


def test_schedules_are_one_word(folder: Path) -> None:
    settings = ["--temperature", "1,decay=0.9,minimum=0.5", "--beta", "0.5,warmup=2", "--learning-rate", "0.001"]
    assert call("train", "straight-through-gumbel-softmax", *settings, *SMALL) == 0
    (run,) = runs.find(folder / "runs")
    assert str(run.config.options.temperature) == "1,decay=0.9,minimum=0.5"
    assert str(run.config.beta) == "0.5,warmup=2"


def test_varied_settings_train_in_all_combinations_side_by_side(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the table tells them apart, also where a value is the default, in lines that a pipe does not cut."""
    vary = ["--vary", "temperature=0.5 1,decay=0.9", "--vary", "learning-rate = 1e-3 1e-2"]
    assert call("train", "gumbel-softmax", *vary, "--seeds", "2", "--beta", "0.5", *SMALL) == 0
    made = runs.find(folder / "runs")
    found = {(str(run.config.options.temperature), str(run.config.learning_rate), run.config.seed) for run in made}
    assert found == {(t, rate, seed) for t in ("0.5", "1,decay=0.9") for rate in ("0.001", "0.01") for seed in (0, 1)}
    assert {str(run.config.beta) for run in made} == {"0.5"}
    assert [run.sessions()[0]["population"] for run in made] == [8] * 8
    assert Config("gumbel-softmax").options.temperature == Schedule(0.5)
    lines = [line for line in capsys.readouterr().out.splitlines() if "finished" in line]
    assert (
        sum("temperature=0.5 " in line for line in lines)
        == sum("temperature=1,decay=0.9 " in line for line in lines)
        == 4
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("temprature=1", "unknown schedule to vary 'temprature'; did you mean 'temperature'?"),
        ("epochs=1 2", "unknown schedule to vary 'epochs'"),
        ("temperature=", "--vary 'temperature=' has no values; write e.g. --vary 'temperature=0.1 0.5 1'"),
        ("temperature=hot", "schedule 'hot' cannot be read"),
        ("temperature=0.5 0", "temperature is 0; it must stay above 0"),
        ("temperature=0.5 1 0.50", "--vary gives temperature 0.5 twice"),
        (f"temperature={' '.join(map(str, range(1, 10_002)))}", "--vary gives more than 10,000 combinations"),
    ],
)
def test_what_cannot_be_varied(setting: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "gumbel-softmax", "--vary", setting) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_hidden_layers_are_given_in_a_row(folder: Path) -> None:
    assert call("train", "gumbel-softmax", "--hidden", "7", "5", *SMALL[:4], *SMALL[6:]) == 0
    (run,) = runs.find(folder / "runs")
    assert run.config.architecture.hidden == (7, 5)


def test_as_many_runs_as_files_may_be_open(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
    try:
        assert call("train", "gumbel-softmax", "--seeds", "250", *SMALL) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "250 runs side by side: each keeps a file open, and this process may have 300" in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_memory_of_an_evaluation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "gumbel-softmax", *SMALL) == 0
    (run,) = runs.find(folder / "runs")
    for memory, message in (("0", "--memory: '0'; give a number above 0"), ("0.001", "memory is 1 MiB; a run")):
        assert call("evaluate", run.folder.name, "--memory", memory, "--samples", "2") == 2
        assert message in capsys.readouterr().err
    assert call("evaluate", run.folder.name, "--memory", "0.5", "--samples", "2") == 0


def test_only_of_images_is_told_that_they_are_made_binary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text has no levels. Both are too small for the network, which is found later."""
    np.save("own.npy", np.random.RandomState(0).randint(0, 256, (30, 4, 4), np.uint8))
    Path("own.txt").write_text("the cat sat on the mat " * 20)
    told = []
    for task, path in (("vae", "own.npy"), ("generator", "own.txt")):
        given = [
            "--task",
            task,
            "--dataset",
            path,
            "--batch-size",
            "2",
            "--backbone",
            "conv",
            "--channels",
            "2",
            "2",
            "2",
        ]
        assert call("train", "gumbel-softmax", *given) == 2
        told.append("at half intensity" in capsys.readouterr().err)
    assert told == [True, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train gumble-softmax", ["gumble-softmax", "gumbel-softmax"]),
        ("trian gumbel-softmax", ["trian", "train"]),
        ("train mine:Smooth", ["mine:Smooth", "a row in STRATEGIES"]),
        ("train gumbel-softmax --temperature 0", ["temperature", "0", "above"]),
        ("train gumbel-softmax --temperature nan", ["nan", "finite"]),
        ("train gumbel-softmax --temperature -1", ["-1"]),
        ("train gumbel-softmax --temprature 1", ["--temprature", "--temperature"]),
        ("train gumbel-softmax --latents 0", ["latents", "0"]),
        ("train gumbel-softmax --categories 0", ["categories", "0"]),
        ("train gumbel-softmax --seeds 0", ["seeds", "0"]),
        ("train gumbel-softmax --threads 0", ["threads", "0"]),
        ("train gumbel-softmax --seeds 10001", ["--seeds", "10001", "up to 10,000"]),
        ("train gumbel-softmax --layers 51", ["layers is 51", "at most 50"]),
        ("train relax --layers 7", ["layers is 7", "relax", "at most 6"]),
        ("train gumbel-softmax --beta 0,warmup=5", ["warmup has no effect"]),
        ("train gumbel-softmax --compile false", ["no argument takes 'false'; leave it off"]),
        ("train gumbel-softmax --hidden 10 0", ["hidden is (10, 0)", "at least 1"]),
        ("train gumbel-softmax --device tpu", ["tpu", "cpu"]),
        ("train gumbel-softmax --dataset mnist --folder nowhere", ["nowhere"]),
        ("train target-propagation --inverse glass", ["glass", "encoder"]),
        ("train gumbel-softmax --runs /dev/null/runs", ["/dev/null/runs"]),
        ("evaluate", ["no run", "list"]),
        ("evaluate nothing", ["nothing"]),
        ("train gumbel-softmax --task semi-supervise", ["semi-supervise", "did you mean 'semi-supervised'"]),
        ("sample nothing", ["nothing"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: str, words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments.split()) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert all(word in lines[-1] for word in words)
    assert sum("error" in line for line in lines) == 1
    assert not (folder / "runs").exists()  # nothing half-written


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
def test_cuda_asked_for_and_absent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "gumbel-softmax", "--device", "cuda") == 2
    assert "--device cpu" in capsys.readouterr().err


def test_a_diverging_run_fails_with_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "gumbel-softmax", "--learning-rate", "1e30", *SMALL) == 1
    (run,) = runs.find(folder / "runs")
    assert run.status == "failed"
    assert "not finite at step" in capsys.readouterr().err
    assert call("train", "gumbel-softmax", "--learning-rate", "1e30", *SMALL) == 1
    assert "not finite at step" in capsys.readouterr().err  # it is told again why


def test_a_validation_metric_that_is_not_finite_fails_in_its_epoch(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train", "gumbel-softmax", "--beta", "1e30", *SMALL) == 1
    assert "(epoch 1)" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["train", "target-propagation", "--help"]])
def test_help_teaches(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*arguments) == 0
    assert "train" in capsys.readouterr().out


CLASSES = ["--task", "semi-supervised", "--hidden", "16", "--style", "3", *FEW]


def test_classification_with_few_labels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained, listed and scored with its accuracy, and sampled from its prior."""
    assert call("train", "marginalisation", "--labelled", "50", "--alpha", "20", *CLASSES) == 0
    (run,) = runs.find(folder / "runs")
    assert (run.config.supervision.labelled, run.config.supervision.alpha) == (50, 20.0)
    assert (run.config.architecture.latents, run.config.architecture.style) == (1, 3)
    assert "accuracy" in capsys.readouterr().out
    assert call("list") == 0
    assert "accuracy" in capsys.readouterr().out
    assert call("evaluate", run.folder.name, "--samples", "2", "--split", "validation") == 0
    assert "accuracy" in capsys.readouterr().out
    assert call("sample", run.folder.name, "--out", "grid.png", "--rows", "1") == 0
    assert np.asarray(Image.open(folder / "grid.png")).shape == (28, 224)


def test_the_classifier_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "gumbel-softmax", *CLASSES[:1], "labels-alone", *CLASSES[2:4], *CLASSES[6:]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert call("sample", runs.find(folder / "runs")[0].folder.name) == 2
    assert "no prior" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--labelled", "55"], "labelled is 55; give a multiple of the 10 categories"),
        (["--labelled", "0"], "labelled is 0; give at least 1"),
        (["--labelled", "60000"], "class 0 has"),
        (["--alpha", "-1"], "alpha is -1.0; give at least 0"),
        (["--labelled-weight", "inf"], "--labelled-weight: 'inf'; give a number"),
        (["--style", "0"], "style is 0; give at least 1"),
        (["--latents", "3"], "their class: give 1"),
        (["--categories", "5"], "categories is 5; the images have 10 classes"),
        (["--samples", "2"], "--samples has no effect with strategy marginalisation"),
    ],
)
def test_what_classification_cannot_take(
    folder: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    words = dict(zip(CLASSES[::2], CLASSES[1::2], strict=True)) | dict([extra])
    assert call("train", "marginalisation", *(word for pair in words.items() for word in pair)) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_run_hides_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named in a line, the others are shown and can be used, and the exit code is 1."""
    assert call("train", "reinmax", "--seeds", "4", *SMALL) == 0
    good, *others = runs.find(folder / "runs")
    (others[0].folder / "history.csv").write_text("")
    (others[1].folder / "environment.json").write_text("5")
    (others[2].folder / "config.json").write_text("[" * 100_000)
    capsys.readouterr()
    assert call("list") == 1
    told = capsys.readouterr()
    assert good.config.identity in told.out
    assert not any(run.config.identity in told.out for run in others)
    lines = told.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)
    assert all(sum(run.folder.name in line for line in lines) == 1 for run in others)
    assert call("sample", good.config.identity[:8], "--out", "grid.png") == 0
    assert call("evaluate", good.folder.name, "--samples", "2") == 0
    capsys.readouterr()
    for run, name in zip(others, ("history.csv", "environment.json", "config.json"), strict=True):
        assert call("evaluate", run.folder.name, "--samples", "2") == 2
        error = capsys.readouterr().err
        assert name in error
        assert error.count("\n") == 1


def test_runs_are_found_by_whole_names_first(folder: Path) -> None:
    made = runs.Run.create(folder / "runs", Config("reinmax"))
    shutil.copytree(made.folder, f"{made.folder} copy")
    assert find_run(made.folder.name, folder / "runs") == made
    with pytest.raises(InputError, match="could be"):
        find_run("reinmax", folder / "runs")


def test_a_damaged_run_is_found_by_its_identity(folder: Path) -> None:
    made = runs.Run.create(folder / "runs", Config("reinmax"))
    (made.folder / "config.json").write_text("{")
    for name in (made.config.identity, made.config.identity[:4], made.folder.name, "reinmax"):
        with pytest.raises(InputError, match=r"config\.json cannot be read"):
            find_run(name, folder / "runs")


def test_where_there_are_no_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No runs yet are no error; a folder that is none of runs is."""
    (folder / "empty").mkdir()
    (folder / "full" / "notes").mkdir(parents=True)
    (folder / "file").touch()
    (folder / "loop").symlink_to("loop")
    assert call("list") == call("list", "--runs", "empty") == 0
    capsys.readouterr()
    for name, reason in {"absent": "no folder", "full": "no run in", "file": "is a file", "loop": "levels of"}.items():
        assert call("list", "--runs", name) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["", " ", "x" * 5000, "a\0b", "\udcff", "\n"])
def test_names_of_no_run(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    runs.Run.create(folder / "runs", Config("reinmax"))
    for command in ("sample", "evaluate"):
        assert call(command, name) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1


def test_cuda_gets_a_workspace_of_its_own_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user has named one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for given, name, wanted in ((None, "cpu", None), (None, "auto", ":4096:8"), (":16:8", "cuda:0", ":16:8")):
        with monkeypatch.context() as patch:
            patch.setenv("CUBLAS_WORKSPACE_CONFIG", given or "")
            if given is None:
                patch.delenv("CUBLAS_WORKSPACE_CONFIG")
            before = torch.backends.cudnn.deterministic
            with arithmetic():  # which brings back what was before
                torch.backends.cudnn.deterministic = False
                choose_device(name, None)
                assert torch.backends.cudnn.deterministic == (wanted is not None)
            assert torch.backends.cudnn.deterministic == before
            assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == wanted
