"""What committed tables know of runs, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.errors import InputError
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


def found(*folders: Path, **wants: Any) -> Known | None:
    return Cache(folders).find(CONFIG, RUNS, **wants)


def tells(run: Known | None, samples: dict[str, int], epochs: Any = (), metrics: Any = ()) -> bool:
    assert run is not None
    return run.tells(samples, epochs, metrics)


def test_a_run_is_known_by_its_evaluations_and_its_history(tmp_path: Path) -> None:
    lines = [("test", 10, "elbo", None, -1.0), ("validation", None, "elbo", 3, -2.0)]
    run = found(folder(tmp_path / "a", *lines))
    assert tells(run, {"test": 10}, (3,), ("elbo",))
    assert not tells(run, {"test": 9})
    assert not tells(run, {"train": 10})
    assert not tells(run, {}, (2, 3))
    assert not tells(run, {}, (3,), ("kl",))
    assert found(folder(tmp_path / "b", status="3 of 4 epochs")) is not None
    assert Cache([tmp_path / "a"]).find(Config("reinmax"), RUNS) is None


@pytest.mark.parametrize("value", ["", "nan"])
def test_an_empty_value_or_a_relaxed_reconstruction_alone_is_no_evaluation(value: str, tmp_path: Path) -> None:
    lines = [("test", 1, "reconstruction_relaxed", None, -1.0), ("test", 1, "elbo", None, value)]
    assert not tells(found(folder(tmp_path / "a", *lines)), {"test": 1})


def test_a_run_comes_from_the_folder_that_tells_all(tmp_path: Path) -> None:
    """Numbers of two folders are not mixed."""
    one = folder(tmp_path / "one", ("test", 10, "elbo", None, -1.0))
    other = folder(tmp_path / "other", ("test", 10, "elbo", None, -5.0), ("train", 1, "elbo", None, -6.0))
    run = found(one, other, samples={"test": 10, "train": 1})
    assert run is not None
    assert run.source == other
    assert sorted(run.evaluation()["value"]) == [-6.0, -5.0]
    first = found(one, other, samples={"test": 10})
    assert first is not None
    assert first.source == one


def test_the_source_of_a_run_is_kept(tmp_path: Path) -> None:
    run = found(folder(tmp_path / "out", ("test", 10, "elbo", None, -1.0), source="theirs"))
    assert run is not None
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
