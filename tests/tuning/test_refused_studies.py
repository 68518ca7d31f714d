"""Bad input, damaged storages and searches that cannot be are refused in a line, before anything is made."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sqlite3
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution as Choices
from optuna.distributions import FloatDistribution as Float
from optuna.samplers import GridSampler

from discrete_vae.cli import command as cli
from discrete_vae.errors import InputError
from discrete_vae.tasks import Architecture
from discrete_vae.tuning import VALUES, Search, open_storage, open_study
from reports import __main__ as reports_command
from studies.command import choice
from studies.pictures import Pictures
from tests.tuning.studies_command import stored, studies_command
from tests.tuning.tiny_worker import BASE, tiny

pytestmark = pytest.mark.usefixtures("tiny_study")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("run", "tinny"), "did you mean 'tiny'"),
        (("run", "tiny", "--trials", "0"), "--trials: '0'; give a whole number of at least 1"),
        (("run", "tiny", "--seeds", "0"), "--seeds: '0'; give a whole number of at least 1"),
        (("run", "tiny", "--batch", "-1"), "--batch: '-1'; give a whole number of at least 1"),
        (("run", "tiny", "--only", "some"), "only is 'some', but tiny is one search; leave it off"),
        (("run", "tiny", "--only", ""), "only is '', but tiny is one search; leave it off"),
        (("run", "tiny", "--folder", "."), "folder . has no effect with mnist-few"),
        (("run", "tiny", "--download"), "download has no effect with mnist-few"),
        (
            ("run", "tiny", "--dataset", "binarised-mnist", "--folder", "."),
            "folder . has no effect with binarised-mnist",
        ),
        (("run", "tiny", "--timeout", "0.5"), "give a number of at least 1"),
        (("run", "tiny", "--seeds", "10001"), "up to 10,000"),
        (("proxy", "--host", ""), "cannot listen at host ''"),
        (("proxy", "--host", "localhost:5"), "cannot listen at host 'localhost:5'"),
        (("run", "tiny", "--storage", "nonsense://me:secret@host/db"), "cannot be"),
        (("show", "tiny", "--storage", "none.sqlite"), "there is no file none.sqlite"),
        (("best", "tiny", "--fresh", "0"), "--fresh: '0'; give a whole number of at least 1"),
    ],
)
def test_bad_input_is_one_line_with_a_remedy(words, reason, capsys: pytest.CaptureFixture[str]) -> None:
    assert studies_command(*words) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("\n") == 1
    assert "secret" not in told


def test_other_lengths_are_another_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert studies_command("run", "tiny", "--trials", "1") == 0
    assert studies_command("run", "tiny", "--epochs", "3") == 2
    told = capsys.readouterr().err
    assert "epochs: 2 stored, 3 asked" in told
    assert "--storage" in told


DAMAGED = [
    *(("study_user_attributes", "definition", value, "stored definition cannot be read") for value in ("null", "[]")),
    ("study_user_attributes", "definition", '{"space": 1}', "stored definition cannot be read (its space is 1)"),
    ("study_user_attributes", "definition", "garbage", "holds what Optuna cannot use (JSONDecodeError"),
    ("trial_user_attributes", "elbo by seed", "[1]", "its 'elbo by seed' is [1], not a finite number for each seed"),
    ("study_user_attributes", "definition", "[" * 100_000, "holds what Optuna cannot use (RecursionError"),
    *(
        ("trial_user_attributes", "elbo by seed", f'{{"0": {value}}}', "not a finite number for each seed")
        for value in ('"x"', "NaN", "1" + "0" * 400)
    ),
]


@pytest.mark.parametrize(("table", "key", "value", "reason"), DAMAGED)
def test_what_a_storage_says_is_checked(table, key, value, reason, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and nothing is overwritten."""
    search = tiny(2).searches[""]
    found = open_study(dataclasses.replace(tiny(2), trials=2), "tiny", open_storage("studies.sqlite"))
    trial = found.ask(dict(search.space))
    trial.set_user_attr(VALUES, {"0": 1.0})
    found.tell(trial, 1.0)
    with contextlib.closing(sqlite3.connect("studies.sqlite")) as connection:
        connection.execute(f"UPDATE {table} SET value_json = ? WHERE key = ?", (value, key))
        connection.commit()
    before = Path("studies.sqlite").read_bytes()
    calls = [("show",), ("export", "--out", "trials.csv")]
    calls += [("run",), ("best",)] if key == "definition" else []
    for name, *words in calls:
        capsys.readouterr()
        assert studies_command(name, "tiny", *words) == 2
        told = capsys.readouterr().err
        assert reason in told
        assert told.count("\n") == 1
        assert Path("studies.sqlite").read_bytes() == before


def test_commands_that_read_make_nothing_and_none_takes_anothers_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, statements in {
        "other.db": ["CREATE TABLE users (name TEXT)"],
        "alembic.db": ["CREATE TABLE alembic_version (version_num TEXT)", "CREATE TABLE studies (name TEXT)"],
        "log.db": ["PRAGMA journal_mode = wal", "CREATE TABLE trials (name TEXT)"],
        "view.db": ["CREATE VIEW users AS SELECT 1"],
    }.items():
        with contextlib.closing(sqlite3.connect(name)) as connection:
            for each in statements:
                connection.execute(each)
    Path("text.db").write_text("no database")
    Path("folder.db").mkdir()
    Path("empty.db").touch()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    reading = [
        ("show", "tiny"),
        ("export", "tiny", "--out", "trials.csv"),
        ("best", "tiny"),
        ("clean", "tiny", "--yes"),
    ]
    reading += [("reports",)]
    for file in ("other.db", "alembic.db", "log.db", "view.db", "text.db", "folder.db", "empty.db", "none.db"):
        for words in [*reading, *([] if file in ("empty.db", "none.db") else [("run", "tiny"), ("worker", "tiny")])]:
            capsys.readouterr()
            if words == ("reports",):
                assert cli.run(reports_command.app, ["studies", "--out", "report", "--storage", file]) == 2
            else:
                assert studies_command(*words, "--storage", file) == 2
            told = capsys.readouterr().err
            assert told.count("\n") == 1
            assert "Traceback" not in told
            shutil.rmtree("report", ignore_errors=True)  # which says whose folder it is, before anything is read
            assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before, (file, words)


@pytest.mark.parametrize(
    "url", ["", " ", ":memory:", "sqlite://", "sqlite:///:memory:", "postgresql:host", "host=here", "//me:pw@host/db"]
)
def test_a_storage_that_is_no_place_is_refused(url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As of a variable that is not set; a study in memory would be lost."""
    assert studies_command("run", "tiny", "--storage", url) == 2
    assert "postgresql+psycopg://user@host/database" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        ({"temperatur": Float(0.1, 1.0)}, "did you mean 'temperature'"),
        ({"samples": Float(1.0, 2.0)}, "samples cannot be 1.0 in this search: samples is 1.0; give a whole number"),
        ({"learning_rate": Float(0.0, 1.0)}, "learning_rate cannot be 0.0"),
        ({"architecture.hidden": Choices([(8,), (8.5,)])}, "hidden cannot be '[8.5]'"),
        ({"architecture.hidden": Choices([8])}, "architecture.hidden cannot be 8"),
        ({"architecture": Choices([Architecture()])}, "no storage keeps"),
        ({"data": Choices(["digits"])}, "data cannot be 'digits'"),
        ({"epochs": Choices([1, 2])}, "the study itself gives its trials epochs"),
        ({"learning_rate": 0.1}, "give a distribution"),
        ({"identity": Choices(["x"])}, "unknown value of gumbel-softmax 'identity'"),
        ({"learning_rate": Float(0.1, 1.0), "learning_rate.initial": Float(0.1, 1.0)}, "is given twice"),
    ],
)
def test_a_search_that_no_configuration_takes_is_refused_at_once(
    space, reason, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before anything is made."""
    study = dataclasses.replace(tiny(1), searches={"": Search(BASE, space)})
    monkeypatch.setattr(choice, "studies", lambda: {"tiny": study})
    assert studies_command("run", "tiny") == 2
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [11, 13, "x"])
def test_a_storage_of_another_schema_is_left_alone(value, capsys: pytest.CaptureFixture[str]) -> None:
    open_study(tiny(2), "tiny", open_storage("studies.sqlite"))
    with contextlib.closing(sqlite3.connect("studies.sqlite")) as connection:
        connection.execute("UPDATE version_info SET schema_version = ?", (value,))
        connection.commit()
    before = Path("studies.sqlite").read_bytes()
    for name in ("show", "run"):
        assert studies_command(name, "tiny") == 2
        assert f"tables of another Optuna (schema {value!r}" in capsys.readouterr().err
    assert Path("studies.sqlite").read_bytes() == before


@pytest.mark.parametrize("space", [{3: Float(0.1, 1.0)}, [("temperature", Float(0.1, 1.0))], None])
def test_a_space_has_names(space) -> None:
    with pytest.raises(InputError, match="give distributions by the names of values"):
        Search(BASE, space)


@pytest.mark.parametrize(
    "change",
    [{"trials": 0}, {"trials": 1.5}, {"epochs": 0}, {"epochs": 1.5}, {"seed": -1}]
    + [{"seeds": seeds} for seeds in ((), (-1,), (0, 0), (0.5,), 3)],
)
def test_a_study_that_could_not_be_read_again_is_refused(change) -> None:
    with pytest.raises(InputError, match=f"{next(iter(change))} is .*; give"):
        dataclasses.replace(tiny(1), **change)


def test_a_sampler_that_does_not_fit_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = dataclasses.replace(tiny(1), sampler=lambda seed: GridSampler({"other": [1]}, seed=0))
    monkeypatch.setattr(choice, "studies", lambda: {"tiny": study})
    assert studies_command("run", "tiny") == 2
    assert "is not found in the given grid" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(Pictures, "__call__", lambda *_: None)
    grid = {"temperature": [0.5, 1.0]}
    search = Search(BASE, {"temperature": Float(0.1, 2.0)})
    study = dataclasses.replace(study, searches={"": search}, sampler=lambda seed: GridSampler(grid, seed=0), trials=2)
    assert studies_command("run", "tiny") == 0, "a grid that is tried to its end"
    assert {trial.params["temperature"] for trial in stored().get_trials()} == {0.5, 1.0}
