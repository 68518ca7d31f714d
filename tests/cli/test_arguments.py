"""Numbers of every command are read alike: whole ones are whole, all are finite, and both are within their range."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import torch
from cyclopts import App

import reports.__main__
import studies.__main__
from discrete_vae.cli import command as cli
from discrete_vae.cli.arguments import typed_schedule
from discrete_vae.cli.options import unknown
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import TASKS, Architecture
from discrete_vae.training import capacity

APPS = {
    **{f"discrete-vae, task {task}": cli.application(task) for task in TASKS},
    "studies": studies.__main__.app,
    "reports": reports.__main__.app,
}


def arguments(app: App) -> Iterator[tuple[str, Any]]:
    """Every command's arguments, with the command's name."""
    if app.default_command is not None:
        yield from ((f"{app.name[0]} {found.name}", found) for found in app.assemble_argument_collection())
    for name in app:
        if not name.startswith("-"):
            yield from arguments(app[name])


def kinds(hint: Any) -> set[type]:
    """The types that a hint is made of."""
    if get_origin(hint) in (Union, UnionType, tuple):
        return set().union(*(kinds(each) for each in get_args(hint) if each is not ...))
    return {hint}


@pytest.mark.parametrize("name", APPS)
def test_every_number_is_read_by_us(name: str) -> None:
    """A fraction for a whole number, and what is not finite, are refused by all that take numbers."""
    seen = 0
    for where, argument in arguments(APPS[name]):
        own = kinds(argument.hint) & {int, float}
        if not own or argument.children:
            continue
        seen += 1
        convert = argument.parameter.converter
        assert convert is not None, f"{where} is read by cyclopts, which rounds"
        for text in ("1.5", "1e3", "0x10", "", "nan", "٣", "9" * 50) if int in own else ("nan", "inf", "1e400", ""):
            with pytest.raises(InputError, match="give a"):
                convert(argument.hint, [Token(text)])
    assert seen


class Token:
    """What cyclopts gives a converter."""

    def __init__(self, value: str) -> None:
        self.value, self.keyword = value, "--number"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.5,decay=0.9,decay=0.8", "decay is given twice"),
        ("0.5,warmup=1, warmup=1", "warmup is given twice"),
        ("0.5,minimum=0.9", "minimum is 0.9, above the initial 0.5"),
        ("0.5,every=3", "every has no effect beside its other values"),
        ("0.5,minimum=0.1", "minimum has no effect beside its other values"),
        ("0.5,unit=step", "unit has no effect beside its other values"),
    ],
)
def test_a_schedule_that_contradicts_itself(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        typed_schedule(text)


@pytest.mark.parametrize(
    "text", ["0.5", "1,decay=0.9,minimum=0.5", "0.1,warmup=2,unit=step", "0.2,decay=2,minimum=0.4"]
)
def test_a_schedule_that_means_what_it_says(text: str) -> None:
    assert typed_schedule(text) == Schedule.parse(text)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--alpha 3", "--alpha has no effect in task vae; leave it off, or give --task semi-supervised"),
        ("--labelled 100", "--labelled has no effect in task vae"),
        ("--critic-steps=5", "--critic-steps has no effect in task vae; leave it off, or give --task generator"),
        ("--draws 3", "--draws is no option of gumbel-softmax, but of gumbel-rao"),
        ("--auxiliary-learning-rate 1", "--auxiliary-learning-rate has no effect with strategy gumbel-softmax"),
        ("--task labels-alone --temperature 1", "makes no use of a strategy"),
        ("--folder .", "has no effect with binarised-mnist"),
        ("--download", "has no effect with binarised-mnist"),
        ("--device cpu:5", "the only CPU device is cpu"),
        ("--vary beta=1 --vary beta=2", "--vary names beta twice"),
        ("--vary temperature=1 --temperature 0.7", "temperature is given, and by --vary too"),
        ("--latents 1000000000", "TiB of memory, and cpu has"),
        ("--layers 1000000000000", "layers is 1000000000000; give at most 50"),
        ("--hidden 1000000000", "TiB of memory, and cpu has"),
        ("--samples 1000000000", "TiB of memory, and cpu has"),
        ("--seeds 10000", " and cpu has"),
    ],
)
def test_what_has_no_effect_or_no_machine_is_refused(
    words: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line, before anything is made."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "gumbel-softmax", *words.split(), "--runs", str(tmp_path / "runs")])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert reason in told
    assert not (tmp_path / "runs").exists()


def test_an_allocation_that_fails_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the estimate was too low."""
    app = App(name="test")

    @app.default
    def make(of: str) -> None:
        torch.empty(2**60, dtype=torch.uint8) if of == "tensor" else bytearray(2**60)

    for of in ("tensor", "bytes"):
        assert cli.run(app, [of]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: there is not enough memory (")
        assert told.count("\n") == 1


def test_a_run_takes_at_least_what_its_tensors_take() -> None:
    """Of what training keeps: weights and a momentum, and gradients while it steps."""
    for config in (Config(), Config(task="adversarial-vae"), Config("rloo", architecture=Architecture(layers=3))):
        population = Population.build([config], torch.device("cpu"))
        weights = sum(each.numel() for each in population.model.parameters())
        assert 0.5 * 12 * weights < capacity.of_training(config) < 1.5 * 12 * weights


def test_help_of_a_task_shows_what_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for task in TASKS:
        strategy = TASKS[task].stand_in or "gumbel-softmax"
        with pytest.raises(SystemExit):
            cli.main(["train", strategy, "--task", task, "--help"])
        shown[task] = capsys.readouterr().out
    assert "--labelled" in shown["semi-supervised"]
    assert "--labelled" not in shown["vae"]
    assert "--critic-steps" in shown["adversarial-vae"]
    assert "--temperature" not in shown["labels-alone"]
    assert "--latents" not in shown["generator"]
    assert all(group in shown["vae"] for group in ("Strategy", "Task", "Model", "Data", "Optimisation", "Runs"))


def test_an_option_that_nobody_has() -> None:
    assert unknown("--temprature", "gumbel-softmax", "vae") is None


def test_what_cannot_be_done_is_found_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a first batch's loss: 10^30 states, and a task that has no encoder for a strategy."""
    for words in (["enumeration"], ["target-propagation", "--task", "structured-prediction"]):
        with pytest.raises(SystemExit):
            cli.main(["train", *words, "--runs", str(tmp_path / "runs")])
        assert capsys.readouterr().err.startswith("error: ")
        assert not (tmp_path / "runs").exists()
