"""What committed tables know of runs, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.training import Prune
from reports.kit.cache import Cache, Known
from reports.kit.provenance import described

CONFIG = Config("reinmax", epochs=3)
RUNS = Path("runs")


def folder(where: Path, *lines: tuple[Any, ...], status: str = "finished", **entry: Any) -> Path:
    """A folder with a run, and lines of split, samples, metric, epoch, value."""
    where.mkdir(parents=True)
    known = {"run": CONFIG.name, "status": status, "training_seconds": 1.5, "configuration": CONFIG.to_dict()}
    environments = [{"device": where.name, "commit": None}]
    told = {"report": "x", "environments": environments, "runs": [known | entry]}
    (where / "provenance.json").write_text(json.dumps(told))
    table = pd.DataFrame(lines, columns=["split", "samples", "metric", "epoch", "value"])
    table.assign(run=CONFIG.name).to_csv(where / "results.csv", index=False)
    return where


def known(where: Path) -> Known:
    """The folder's run."""
    (run,) = Cache([where]).of(CONFIG, RUNS)
    return run


def found(*folders: Path, **wants: Any) -> Run | None:
    return Cache(folders).find([CONFIG], RUNS, **wants).get(CONFIG)


def test_a_run_is_known_by_its_evaluations_and_its_history(tmp_path: Path) -> None:
    lines = [("test", 10, "elbo", None, -1.0), ("validation", None, "elbo", 3, -2.0)]
    own = folder(tmp_path / "a", *lines)
    assert found(own, samples={"test": 10}, epochs=(3,), metrics=("elbo",))
    assert not found(own, samples={"test": 9})
    assert not found(own, samples={"train": 10})
    assert not found(own, epochs=(2, 3))
    assert not found(own, epochs=(3,), metrics=("kl",))
    assert not found(folder(tmp_path / "b", status="3 of 4 epochs"))
    assert not Cache([own]).of(Config("reinmax"), RUNS)


@pytest.mark.parametrize("value", ["", "nan"])
def test_an_empty_value_or_a_relaxed_reconstruction_alone_is_no_evaluation(value: str, tmp_path: Path) -> None:
    lines = [("test", 1, "reconstruction_relaxed", None, -1.0), ("test", 1, "elbo", None, value)]
    assert not found(folder(tmp_path / "a", *lines), samples={"test": 1})


def test_a_run_comes_from_the_folder_that_tells_all(tmp_path: Path) -> None:
    """Numbers of two folders are not mixed."""
    one = folder(tmp_path / "one", ("test", 10, "elbo", None, -1.0))
    other = folder(tmp_path / "other", ("test", 10, "elbo", None, -5.0), ("train", 1, "elbo", None, -6.0))
    run = found(one, other, samples={"test": 10, "train": 1})
    assert isinstance(run, Known)
    assert run.source == other
    assert sorted(run.evaluation()["value"]) == [-6.0, -5.0]
    first = found(one, other, samples={"test": 10})
    assert isinstance(first, Known)
    assert first.source == one


def test_the_first_folder_says_what_was_pruned(tmp_path: Path) -> None:
    """Another report may have trained the same run to its end."""
    own = folder(tmp_path / "own", ("validation", None, "elbo", 1, -9.0), status="1 of 3 epochs")
    other = folder(tmp_path / "other", ("validation", 10, "elbo", None, -1.0))

    def after(last: int) -> Prune:
        return lambda epoch, metrics: list(metrics) if last <= epoch < 3 else ()

    pruned = found(own, other, prune=after(1))
    assert pruned is not None
    assert pruned.status == "1 of 3 epochs"
    whole = found(own, other, prune=after(2))  # it went on where that is asked for
    assert whole is not None
    assert whole.status == "finished"


def test_the_source_of_a_run_is_kept(tmp_path: Path) -> None:
    run = known(folder(tmp_path / "out", ("test", 10, "elbo", None, -1.0), source="theirs"))
    (entry,) = described([run], (tmp_path / "out",))["runs"]
    assert entry["source"] == "theirs"
    (entry,) = described([run], (tmp_path / "mine",))["runs"]
    assert entry["source"] == "theirs"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.csv", "run,split,metric,value\nx,test,elbo,many\n", "many"),
        ("results.csv", 'run,split,metric,value\n"x,test,elbo,1\n', "results.csv cannot be read"),
        ("results.csv", "", "results.csv cannot be read"),
        ("results.csv", "run,split,metric,value\nx,y\xff", "results.csv cannot be read"),
        (
            "results.csv",
            "run,split,samples,metric,value\nx,test,1,elbo,1\nx,test,1,elbo,2\n",
            "two values of elbo of x",
        ),
        (
            "tuning.csv",
            f"run,split,samples,metric,value\n{CONFIG.name},test,10,elbo,-2\n",
            f"two values of elbo of {CONFIG.name}",
        ),
        ("provenance.json", "[]", "it is a list"),
        ("provenance.json", "{", "provenance.json cannot be read"),
        ("provenance.json", '{"runs": null}', "provenance.json cannot be read"),
        ("provenance.json", '{"runs": [{}]}', "provenance.json cannot be read"),
        ("provenance.json", '{"runs": [{"run": "x", "configuration": {"foo": 1}}]}', "provenance.json cannot be read"),
    ],
)
def test_a_damaged_file_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    where = folder(tmp_path / "a", ("test", 10, "elbo", None, -1.0))
    (where / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        found(where)
