"""A declared comparison on small networks: what is chosen, its files, and a paper's numbers beside ours."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch

from discrete_vae import parallel
from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training import loop as training
from discrete_vae.training.step import Trainer
from discrete_vae.tuning import open_storage, open_study
from discrete_vae.tuning.worker import VALUES
from reports import jang, reinmax
from reports.kit import captions, context, latex
from reports.kit.comparison import Comparison
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Row, Task, settings
from reports.kit.kept import keep
from reports.kit.results import Metric
from reports.kit.search import TRIAL_SEED
from reports.kit.tidy import COLUMNS, configuration
from reports.kit.trials import Entry, best_of
from tests.tiny_images import middle
from tests.tuning.tiny_worker import BASE, tiny

SMALL = middle(2000, 200)
SBN = Config(
    architecture=Architecture(3, 3, (), layers=2),
    task="structured-prediction",
    optimiser="sgd",
    batch_size=500,
    data=SMALL.config,
)
VAE = Config(architecture=Architecture(3, 3, ()), optimiser="sgd", batch_size=500, data=SMALL.config)
ROWS = [
    Row("SF", "score-function"),
    Row("Gumbel-S", "gumbel-softmax", [{"temperature": Schedule(0.5)}, {"temperature": Schedule(0.9)}]),
]
TINY = Comparison(
    "tiny",
    "A small comparison",
    ROWS,
    {"quick": Preset(2, (0, 1, 2), 3, (1e-3, 3e-3), trial_epochs=1, growth=2)},
    [Task("SBN", SBN, {"temperature": Schedule(1.0)}), Task("VAE", VAE)],
    [Metric("test", "log_likelihood", "ours", better=-1, scale=-1, printed={"SF, SBN": 73.1, "Gumbel-S, SBN": 59.0})],
    "Negative bound.",
    "SF has << mean('SF, VAE', 'test', 'elbo') >> nats.\n\n[table: results]\n",
    pairs=[("SF", "Gumbel-S")],
)
FILES = {"results.csv", "tuning.csv", "provenance.json", "references.bib", "tiny.tex", "report.html"} | {
    f"{name}.{kind}" for name in ("results", "differences") for kind in ("md", "tex")
}


def bench(out: Path, runs: Path, **options: object) -> ReportContext:
    given: dict[str, Any] = {"_data": {SMALL.config: SMALL}} | options
    return ReportContext("tiny", "quick", out, runs, torch.device("cpu"), **given)


def make(out: Path, runs: Path, report: Comparison = TINY, **options: object) -> None:
    report.make(report.presets["quick"], bench(out, runs, **options))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("comparison")
    make(folder / "out", folder / "runs")
    return folder / "out", folder / "runs"


def test_every_file_is_written(made: tuple[Path, Path]) -> None:
    assert {path.name for path in made[0].iterdir()} - {"tiny.pdf"} == FILES
    assert "jang2017" in (made[0] / "references.bib").read_text()


def test_the_best_setting_by_validation_is_evaluated(made: tuple[Path, Path]) -> None:
    results, tuning = (pd.read_csv(made[0] / name) for name in ("results.csv", "tuning.csv"))
    assert list(results.columns) == COLUMNS
    assert set(results["row"]) == {f"{row}, {task}" for row in ("SF", "Gumbel-S") for task in ("SBN", "VAE")}
    for row, trials in tuning.groupby("row"):
        tried = [configuration(*each) for each in zip(trials["strategy"], trials["parameters"], strict=True)]
        # The temperature is fixed in structured prediction, so there is one setting of it.
        temperatures = {getattr(config.options, "temperature", None) for config in tried}
        assert (len(temperatures) > 1) == (row == "Gumbel-S, VAE")
        rates = {config.learning_rate.initial for config in tried}
        assert rates >= {1e-3, 3e-3}
        own = results[results["row"] == row]
        (best,) = {configuration(*each) for each in zip(own["strategy"], own["parameters"], strict=True)}
        ends = min(rates), max(rates)
        assert best.learning_rate.initial not in ends or len(rates) >= 4, "the grid grows around the best"
        assert set(trials["seed"]) == {TRIAL_SEED}
        scores = dict(zip(tried, trials["value"], strict=True))
        assert dataclasses.replace(best, epochs=1) == max(scores, key=scores.__getitem__)
        assert best.epochs == 2
    found = results[(results["split"] == "test") & (results["metric"] == "log_likelihood")]
    assert len(found) == 4 * 3
    assert set(found["samples"]) == {3}


def test_printed_numbers_stand_beside_ours(made: tuple[Path, Path]) -> None:
    table, text = (made[0] / "results.tex").read_text(), (made[0] / "results.md").read_text()
    assert " & 73.1 & " in table
    assert "| 59.0 |" in text
    assert "2 epochs; 3 samples an image of the test images; mean" in table
    assert "2 epochs; 3 samples an image of the test images; mean" in text
    assert "over 3 seeds" in table
    assert "+14.1" in (made[0] / "differences.md").read_text()


def test_the_text_has_the_numbers_of_the_results(made: tuple[Path, Path]) -> None:
    results = pd.read_csv(made[0] / "results.csv")
    rows = (results["row"] == "SF, VAE") & (results["split"] == "test") & (results["metric"] == "elbo")
    told = f"SF has −{-results[rows]['value'].mean():.2f} ±"  # noqa: RUF001
    assert told in (made[0] / "report.html").read_text()


def test_second_call_trains_nothing_and_writes_the_same_bytes(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_train_population", lambda *args: pytest.fail("trained again"))
    make(tmp_path, made[1])
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes()


def test_runs_that_are_kept_are_not_trained_again(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept in two parts, as they end; other machines have the tables alone."""
    first = sorted(path.name for path in made[1].iterdir())[::2]
    for name in first:
        shutil.copytree(made[1] / name, tmp_path / "first" / name)
    assert len(keep(tmp_path / "first", tmp_path / "kept" / "tiny")) == len(first)
    assert len(keep(made[1], tmp_path / "kept" / "tiny")) == len(list(made[1].iterdir()))
    monkeypatch.setattr(context, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(parallel, "train", lambda *args, **options: pytest.fail("trained"))
    make(tmp_path / "out", tmp_path / "runs")
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (made[0] / name).read_bytes(), name


def test_nothing_is_kept_among_a_reports_files(made: tuple[Path, Path]) -> None:
    before = {path.name: path.read_bytes() for path in made[0].iterdir()}
    with pytest.raises(InputError, match="holds a report; name a folder of its own"):
        keep(made[1], made[0])
    assert {path.name: path.read_bytes() for path in made[0].iterdir()} == before


@pytest.fixture
def committed(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The made report as committed results, without its runs."""
    shutil.copytree(made[0], tmp_path / "results" / "tiny")
    monkeypatch.setattr(context, "RESULTS", tmp_path / "results")
    return tmp_path / "results" / "tiny"


def test_committed_results_are_not_trained_again(
    committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(parallel, "train", lambda *args, **options: pytest.fail("trained"))
        make(tmp_path / "out", tmp_path / "runs")
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (committed / name).read_bytes(), name
    assert not (tmp_path / "runs").exists()
    monkeypatch.setattr(parallel, "train", lambda *args, **options: pytest.fail("trained"))
    with pytest.raises(pytest.fail.Exception, match="trained"):
        make(tmp_path / "again", tmp_path / "runs", retrain=True)


def test_a_new_row_is_trained_alone(committed: Path, tmp_path: Path) -> None:
    """And the table's other lines, and those of results.csv, stay as they are."""
    wider = dataclasses.replace(TINY, rows=[*ROWS, Row("ST", "straight-through")])
    make(tmp_path / "out", tmp_path / "runs", wider)
    assert {path.name.rpartition("-")[0] for path in (tmp_path / "runs").iterdir()} == {"straight-through"}
    before, after = ((each / "results.csv").read_text().splitlines() for each in (committed, tmp_path / "out"))
    assert set(before) < set(after)
    assert all(line.startswith('tiny,"ST, ') for line in set(after) - set(before))
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    old = {run["run"] for run in json.loads((committed / "provenance.json").read_text())["runs"]}
    assert old < {run["run"] for run in provenance["runs"]}
    assert all(run["environments"] for run in provenance["runs"])


def test_longer_samples_are_not_taken_for_shorter_ones(
    committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "train", lambda *args, **options: pytest.fail("trained"))
    longer = {"quick": dataclasses.replace(TINY.presets["quick"], samples=4)}
    with pytest.raises(pytest.fail.Exception, match="trained"):
        make(tmp_path / "out", tmp_path / "runs", dataclasses.replace(TINY, presets=longer))


def test_rows_of_other_results_name_their_source(
    committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "train", lambda *args, **options: pytest.fail("trained"))
    report = dataclasses.replace(TINY, name="other", text="")
    report.make(
        report.presets["quick"],
        ReportContext("other", "quick", tmp_path / "out", tmp_path / "runs", torch.device("cpu")),
    )
    runs = json.loads((tmp_path / "out" / "provenance.json").read_text())["runs"]
    assert {run["source"] for run in runs} == {"tiny"}


def test_a_length_of_a_rows_own_is_trained(tmp_path: Path) -> None:
    rows = [Row("own", "straight-through", lengths=(3,)), Row("whole", "straight-through")]
    single = {"quick": Preset(1, samples=3)}
    own = Comparison("tiny", "Lengths", rows, single, [Task(base=VAE)], [Metric("test", "elbo")])
    make(tmp_path / "out", tmp_path / "runs", own)
    runs = json.loads((tmp_path / "out" / "provenance.json").read_text())["runs"]
    assert [run["configuration"]["epochs"] for run in runs] == [3, 1]
    assert own.plan(single["quick"])[0].epochs == 3


def test_tasks_stand_below_each_other(made: tuple[Path, Path], tmp_path: Path) -> None:
    report = dataclasses.replace(TINY, stacked=True)
    make(tmp_path / "out", made[1], report)
    cells = {
        name: table_cells(folder / "results.md") for name, folder in (("out", tmp_path / "out"), ("made", made[0]))
    }
    stacked, beside = cells["out"], cells["made"]
    assert [row[0] for row in stacked[2:]] == ["*SBN*", "SF", "Gumbel-S", "*VAE*", "SF", "Gumbel-S"]
    assert stacked[0] == ["", "ours", "printed", "setting"]
    for place, row in enumerate(beside[2:]):
        assert stacked[3 + place] == row[:4]
        assert stacked[6 + place] == [row[0], row[4], "–", row[5]]  # noqa: RUF001
    tests, columns = (table_cells(folder / "differences.md") for folder in (tmp_path / "out", made[0]))
    assert [tests[2][0], tests[4][0]] == ["*SBN*", "*VAE*"]
    assert tests[3] == columns[2][:5]
    assert tests[5] == [*columns[2][:1], *columns[2][5:8], "–"]  # noqa: RUF001
    assert "for all tests of a task" in (tmp_path / "out" / "differences.tex").read_text()


def table_cells(path: Path) -> list[list[str]]:
    """The cells of a Markdown table, a list a line."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in lines]


def test_a_task_may_take_more_epochs(tmp_path: Path) -> None:
    preset = Preset(2, (0,), 3, (1e-3, 3e-3), trial_epochs=1, growth=0)
    tasks = [Task("short", VAE), Task("few", dataclasses.replace(VAE, batch_size=200), times=2)]
    own = Comparison("tiny", "Lengths", ROWS[:1], {"quick": preset}, tasks, [Metric("test", "elbo")])
    planned = [(config.batch_size, config.epochs) for config in own.plan(preset)]
    assert planned == [(500, 1), (500, 1), (500, 2), (200, 2), (200, 2), (200, 4)]
    missing = own.missing(preset, bench(tmp_path / "out", tmp_path / "runs"))
    assert [(config.batch_size, config.epochs) for config in missing] == planned
    make(tmp_path / "out", tmp_path / "runs", own)
    runs = json.loads((tmp_path / "out" / "provenance.json").read_text())["runs"]
    trained = sorted((run["configuration"]["batch_size"], run["configuration"]["epochs"]) for run in runs)
    assert trained == sorted(planned)
    assert " few: 2 times as many epochs, in trials too." in (tmp_path / "out" / "results.tex").read_text()
    with pytest.raises(InputError, match="times of task 'none'"):
        Task("none", VAE, times=0)


def test_rows_that_keep_their_best_epoch_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the caption, the settings and the parameters; they are chosen by that epoch, from committed tables too."""
    rates = [Schedule(0.03, decay=30.0), Schedule(1e-4)]  # the first is ahead until the steps are too long
    rows = [
        Row("last", "straight-through", tried={"learning_rate": rates}),
        Row("best", "straight-through", tried={"learning_rate": rates}, fields={"keep": "best"}),
    ]
    presets = {"quick": Preset(3, samples=3, growth=0)}
    monkeypatch.setattr(Trainer, "_captured", lambda self, function: partial(function, noise=self.noise))
    monkeypatch.setattr(latex, "compile_document", lambda *arguments: False)  # both take longer than the training
    images = middle(1000, 200)
    base = dataclasses.replace(VAE, data=images.config, batch_size=50)
    own = Comparison("tiny", "Kept", rows, presets, [Task(base=base)], [Metric("test", "elbo")])
    make(tmp_path / "results" / "tiny", tmp_path / "runs", own, _data={images.config: images})
    monkeypatch.setattr(context, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(parallel, "train", lambda *args, **options: pytest.fail("trained"))
    make(tmp_path / "out", tmp_path / "elsewhere", own, _data={images.config: images})
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "results" / "tiny" / path.name).read_bytes(), path
    text = (tmp_path / "out" / "results.md").read_text()
    assert " best: best validation epoch." in (tmp_path / "out" / "results.tex").read_text()
    assert "lr 0.03 × 30/1 ep. |" in text  # noqa: RUF001
    assert "lr 0.0001 |" in text
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    for row, parameters, run in results[["row", "parameters", "run"]].drop_duplicates().to_numpy():
        assert ("keep" in json.loads(parameters)) == (row == "best")
        kept = Run.open(tmp_path / "runs" / run)
        assert (kept.kept_epoch < 3) == (row == "best")
        validation = results.query("row == @row and split == 'validation' and metric == 'elbo'")["value"].item()
        assert validation == pytest.approx(kept.validation(kept.kept_epoch)["elbo"], rel=1e-5)


def test_rows_with_patience_are_a_cache_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end at epochs of their own, which the committed tables tell; the caption says what their length is."""
    rates = [Schedule(0.03, decay=30.0), Schedule(1e-3)]  # the first gets worse at once
    rows = [Row("patient", "straight-through", tried={"learning_rate": rates}, fields={"patience": 1})]
    presets = {"quick": Preset(5, samples=3, growth=0)}
    monkeypatch.setattr(Trainer, "_captured", lambda self, function: partial(function, noise=self.noise))
    monkeypatch.setattr(latex, "compile_document", lambda *arguments: False)
    images = middle(1000, 200)
    base = dataclasses.replace(VAE, data=images.config, batch_size=50)
    own = Comparison(
        "tiny", "Ended", rows, presets, [Task(base=base)], [Metric("test", "elbo")], curves={"elbo": "ELBO"}
    )
    make(tmp_path / "results" / "tiny", tmp_path / "runs", own, _data={images.config: images})
    monkeypatch.setattr(context, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(parallel, "train", lambda *args, **options: pytest.fail("trained"))
    make(tmp_path / "out", tmp_path / "elsewhere", own, _data={images.config: images})
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "results" / "tiny" / path.name).read_bytes(), path
    tuned = pd.read_csv(tmp_path / "out" / "tuning.csv")
    ends = tuned.groupby("run")["epoch"].max()
    assert ends.to_dict() == {run: Run.open(tmp_path / "runs" / run).last_epoch for run in ends.index}
    assert 2 <= ends.min() < ends.max()
    caption = (tmp_path / "out" / "results.tex").read_text()
    assert "At most 5 epochs, until the validation ELBO has not risen for 1 epoch; 3 samples" in caption


def test_the_caption_says_which_rows_have_patience() -> None:
    rows = [Row("ST", "straight-through"), Row("patient", "straight-through", fields={"patience": 1})]
    preset = Preset(5)
    task = Task("VAE", base=VAE)
    entries = {(row.label, task.label): Entry(row, settings(row, task, preset)[0], [], {}, ()) for row in rows}
    said = "5 epochs (patient, VAE: at most, until the validation ELBO has not risen for 1 epoch)"
    assert captions.length(preset, entries) == said


def test_where_every_trial_fails_the_report_says_so(tmp_path: Path) -> None:
    rows = [Row("lost", "score-function", tried={"learning_rate": [Schedule(1e30), Schedule(1e31)]})]
    presets = {"quick": Preset(1, samples=3, growth=0)}
    own = Comparison("tiny", "Lost", rows, presets, [Task(base=VAE)], [Metric("test", "elbo")])
    make(tmp_path / "out", tmp_path / "runs", own)
    assert "| lost | failed |" in (tmp_path / "out" / "results.md").read_text()


def test_a_wrong_word_in_the_text_overwrites_nothing(committed: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in committed.iterdir()}
    for text, message in (
        ("<< mean('SF', 'test', 'elbo') >>", "unknown row of the results 'SF'"),
        ("<< mean('SF, VAE', 'test', 'elbow') >>", "did you mean 'test elbo'"),
        ("<< mean('SF, VAE') >>", "cannot be filled in"),
        ("<< 1 / 0 >>", "ZeroDivisionError"),
        ("<% include 'nosuch' %>", "nosuch"),
    ):
        metric = dataclasses.replace(TINY.metrics[0], printed={})
        odd = dataclasses.replace(TINY, rows=ROWS[:1], metrics=[metric], pairs=(), text=text)
        with pytest.raises(InputError, match=message):
            make(committed, tmp_path / "runs", odd)
    assert {path.name: path.read_bytes() for path in committed.iterdir()} == before


@pytest.mark.parametrize("text", ["<< mean('SF', 'test', 'elbo') >>", "<< nosuch >>", "<% if %>", "[table: x]"])
def test_a_wrong_name_in_the_text_is_found_before_anything_is_trained(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row of the results 'SF'|names nosuch|line 1 of the text|the table x,"):
        make(tmp_path / "out", tmp_path / "runs", dataclasses.replace(TINY, text=text))
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_caption_that_cannot_be_set_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nosuch is not supported"):
        make(tmp_path / "out", tmp_path / "runs", dataclasses.replace(TINY, caption=r"Where $\nosuch{x}$."))
    assert not (tmp_path / "runs").exists()


def test_a_text_may_use_what_a_number_has(committed: Path, tmp_path: Path) -> None:
    text = "<< mean(best('test', 'elbo'), 'test', 'elbo').value >><% if 2 > 1 %>!<% endif %>"
    metric = dataclasses.replace(TINY.metrics[0], printed={})
    make(tmp_path / "out", tmp_path / "runs", dataclasses.replace(TINY, metrics=[metric], pairs=(), text=text))


def test_failed_runs_are_told(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A seed of one row, and every trial of another: no mean of the seeds that are left passes for that of all."""
    runs = tmp_path / "runs"
    shutil.copytree(made[1], runs)
    results, trials = (pd.read_csv(made[0] / name) for name in ("results.csv", "tuning.csv"))
    one = results[(results["row"] == "Gumbel-S, VAE") & (results["seed"] == 1)]["run"].iloc[0]
    rest = set(trials[trials["row"] == "SF, SBN"]["run"]) | set(results[results["row"] == "SF, SBN"]["run"])
    for name in {one, *rest}:
        (runs / name / "failure.json").write_text('{"step": 3, "epoch": 1, "message": "not finite"}')
    make(tmp_path / "out", runs)
    table = (tmp_path / "out" / "results.tex").read_text()
    assert "(2/3)" in table
    assert "failed" in table
    after = pd.read_csv(tmp_path / "out" / "results.csv")
    assert not set(after["run"]) & {one, *rest}


def test_a_row_takes_the_setting_of_a_study(tmp_path: Path) -> None:
    """That of its best trial, at the report's own length and seeds; nothing else is tried of it."""
    storage = str(tmp_path / "studies.sqlite")
    study = tiny(1, dataclasses.replace(BASE, data=DataConfig()))
    name, search = next(iter(study.names().items()))
    found = open_study(study, name, open_storage(storage))
    for value in (-110.0, -105.0, -120.0):
        trial = found.ask(dict(search.space))
        trial.set_user_attr(VALUES, {"0": value})
        found.tell(trial, value)
    own = dataclasses.replace(
        TINY,
        rows=[Row("tuned", "gumbel-softmax", study=name)],
        presets={"quick": dataclasses.replace(TINY.presets["quick"], epochs=1, seeds=(5,))},
        tasks=[Task(base=study.searches[""].base)],
        metrics=[Metric("test", "elbo")],
        pairs=(),
        text="",
    )
    assert own.storage
    make(tmp_path / "out", tmp_path / "runs", own, storage=storage)
    best = found.best_trial.params
    (config,) = {
        configuration(*each)
        for each in pd.read_csv(tmp_path / "out" / "results.csv")[["strategy", "parameters"]].to_numpy()
    }
    assert config.options.temperature.initial == pytest.approx(best["temperature"], rel=1e-6)
    assert config.epochs == 1
    assert f"lr {best['learning_rate']:.3g}" in (tmp_path / "out" / "results.md").read_text()
    caption = "tuned: the best of 3 trials of the study \\texttt{tiny} (1 epoch, 2 seeds, by validation elbo)"
    assert caption in (tmp_path / "out" / "results.tex").read_text()
    with pytest.raises(InputError, match="has architecture"):
        make(tmp_path / "out", tmp_path / "runs", dataclasses.replace(own, tasks=[Task()]), storage=storage)
    assert not (tmp_path / "out" / "tuning.csv").exists()
    with pytest.raises(InputError, match="there is no"):
        best_of(name, str(tmp_path / "missing.sqlite"))
    with pytest.raises(InputError, match=f"did you mean '{name}'"):
        best_of(name[:-1], storage)
    optuna.create_study(study_name="empty", storage=f"sqlite:///{storage}")
    with pytest.raises(InputError, match="empty"):
        best_of("empty", storage)


@pytest.mark.parametrize("report", [jang.REPORT, reinmax.REPORT])
def test_presets_configure_every_strategy(report: Comparison) -> None:
    for preset in report.presets.values():
        rows, tasks = preset.rows or report.rows, preset.tasks or report.tasks
        labels = [row.label for row in rows]
        assert len(set(labels)) == len(labels)
        for task in tasks:
            for row in rows:
                assert {each.strategy for each in settings(row, task, preset)} == {row.strategy} <= set(STRATEGIES)
        assert len(report.plan(preset)) == len(set(report.plan(preset)))
    assert {name.rpartition(", ")[2] for name in report.metrics[0].printed} == {task.label for task in report.tasks}
    assert {each.dataset for each in report.data(report.presets["quick"])} == {"binarised-mnist"}


def test_the_papers_temperature() -> None:
    schedule = jang.annealed(1e-4, 1000)
    assert schedule.minimum == 0.5
    assert schedule.decay == pytest.approx(0.904837, abs=1e-6)
