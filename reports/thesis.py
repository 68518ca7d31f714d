"""Table 5.1 of F. Nitta's bachelor thesis (2017) and its figures, measured again and scored on hard samples too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from discrete_vae.config import Config
from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from reports import thesis_figures, thesis_readme
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.latex import Latex, escape, number, render, symbols
from reports.kit.tables import COLUMNS, MISSING, RULE, Panel, Row, by_seed, compared, evaluation_rows, mean_ci, table
from reports.thesis_settings import (
    GUMBEL_HALF,
    GUMBEL_TENTH,
    LEARNED_INVERSE_READING,
    PRESETS,
    PRINTED,
    SOURCE,
    TARGET_PROPAGATION,
    THESIS_EPOCHS,
    THESIS_TARGET_PROPAGATION,
    Line,
    Preset,
)

HARD, RELAXED = "reconstruction_hard", "reconstruction_relaxed"
REACHED = 1.0
"""Nats: a line of the sensitivity table within this of the print has reached it; seeds alone differ by about half."""


def make(preset: Preset, bench: ReportContext) -> None:
    """Train and evaluate what is missing, then write the table, the figures and the document."""
    rows, lines = preset.rows(), preset.sensitivity
    configs = [config for members in rows.values() for config in members]
    samples = {"train": 1, "validation": 1, "test": preset.samples}
    main = bench.train(configs, samples=samples, epochs=range(1, preset.epochs + 1))
    found = [*main, *bench.train([line.config for line in lines], samples={"train": 1, "validation": 1})]
    runs = {run.config: run for run in found}
    frames = [
        evaluation_rows(bench.report, name, runs[each], samples) for name, group in rows.items() for each in group
    ]
    frames += [
        evaluation_rows(bench.report, line_name(line), runs[line.config], {"train": 1, "validation": 1})
        for line in lines
    ]
    results = pd.concat([printed(), *frames], ignore_index=True)
    curves = learning_curves({name: [runs[each] for each in group] for name, group in rows.items()})
    bench.write_results(results)
    bench.write_results(curves, "learning_curves.csv")

    first = {name: run for name, group in rows.items() if (run := runs[group[0]]).finished}
    data = bench.dataset(configs[0].data)
    thesis_figures.sigmoid(bench.out)
    thesis_figures.temperatures(bench.out)
    thesis_figures.learning_curves(bench.out, curves, list(rows))
    thesis_figures.reconstructions(bench.out, order(first), data)
    if TARGET_PROPAGATION in first:
        thesis_figures.heat_map(bench.out, first[TARGET_PROPAGATION], data)
    bench.write_provenance(found, samples=samples, epochs=preset.epochs)
    words(preset, bench, results, [run.config for run in main if not run.finished])


def words(preset: Preset, bench: ReportContext, results: pd.DataFrame, failed: Sequence[Config]) -> None:
    """Write tables and document from what was measured."""
    rows, lines = preset.rows(), preset.sensitivity
    configs = [config for members in rows.values() for config in members]
    note = Latex(" ".join(filter(None, [length(configs), failures(failed)])))
    bench.write("table_5_1.tex", table_5_1(results, list(rows), preset, note))
    bench.write("table_5_1.md", thesis_readme.table(results, list(rows)))
    bench.write("sensitivity.tex", sensitivity(results, lines))

    shown = by_seed(results, TARGET_PROPAGATION, "validation", HARD)
    digit = thesis_figures.digit(bench.dataset(configs[0].data)) if preset.seeds[0] in shown else None
    figures = [
        figure for figure in illustrations(preset, note, digit) if digit is not None or "5_1" not in figure["file"]
    ]
    base = configs[0]
    source = render(
        "thesis.tex",
        network=network(base),
        batch=base.batch_size,
        rate=base.learning_rate,
        length=note,
        reading=symbols(THESIS_TARGET_PROPAGATION.label),
        learned=symbols(LEARNED_INVERSE_READING.label),
        chosen=reading_chosen(results, preset),
        meaning=meaning(results),
        openness=openness(results, lines),
        figures=figures,
    )
    parts = ["table_5_1.tex", "sensitivity.tex", *(f"{figure['file']}.pdf" for figure in figures)]
    bench.write_document(source, parts, strategies([*configs, *(line.config for line in lines)]))


def printed() -> pd.DataFrame:
    """The thesis' numbers as tidy rows; it does not say on which samples, so their metric is ``reconstruction``."""
    rows = [
        {
            "report": "thesis",
            "row": f"{name} (thesis, printed)",
            "strategy": row.strategy,
            "parameters": f'{{"source": "{SOURCE}"}}',
            "split": split,
            "metric": "reconstruction",
            "value": value,
        }
        for name, row in PRINTED.items()
        for split, value in (("train", row.train), ("validation", row.validation))
    ]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def learning_curves(rows: dict[str, list[Run]]) -> pd.DataFrame:
    """The validation ELBO and reconstruction of each row's runs: the tidy columns and the epoch."""
    frames = []
    for name, runs in rows.items():
        for run in filter(lambda run: run.finished, runs):
            history = run.history()
            history = history[(history["split"] == "validation") & history["metric"].isin(["elbo", HARD])]
            known: dict[str, Any] = {
                "row": name,
                "strategy": run.config.strategy,
                "seed": run.config.seed,
                "run": run.config.name,
            }
            frames.append(history.assign(**known))
    columns = [*COLUMNS, "epoch"]
    return pd.concat(frames, ignore_index=True).reindex(columns=columns) if frames else pd.DataFrame(columns=columns)


def line_name(line: Line) -> str:
    """What a line of the sensitivity table is called among the tidy rows."""
    return f"Sensitivity, {line.printed}, {line.config.epochs} epochs: {line.label}"


def length(configs: Sequence[Config]) -> Latex:
    """How long was trained, and that the thesis trained longer where it did."""
    epochs = sorted({config.epochs for config in configs})
    trained = " to ".join(f"{each}" for each in dict.fromkeys((epochs[0], epochs[-1])))
    if epochs == [THESIS_EPOCHS]:
        return Latex(f"Trained for {trained} epochs, as in the thesis.")
    plural = "s" * (epochs != [1])
    return Latex(
        rf"\textbf{{Trained for {trained} epoch{plural} only}}, where the thesis trained for {THESIS_EPOCHS}: "
        "not comparable with its numbers."
    )


def failures(failed: Sequence[Config]) -> Latex:
    """What is missing from the means, in a sentence; empty if nothing is."""
    if not failed:
        return Latex("")
    names = ", ".join(f"{config.name} (seed {config.seed})" for config in failed)
    return Latex(f"Left out, for a loss that was not finite: {escape(names)}.")


def network(config: Config) -> Latex:
    """``784-500-(30x10)-500-784``."""
    shape = config.architecture
    inward = "".join(f"{width}-" for width in (784, *shape.hidden))
    outward = "".join(f"-{width}" for width in (*reversed(shape.hidden), 784))
    return Latex(rf"{inward}(${shape.latents}\times{shape.categories}$){outward}")


def table_5_1(results: pd.DataFrame, rows: Sequence[str], preset: Preset, note: Latex) -> Latex:
    """The thesis' numbers beside ours."""

    def column(split: str, metric: str, compared: bool = True) -> dict[str, Latex]:
        values = {row: by_seed(results, row, split, metric) for row in rows}
        best = statistics.winner(values) if compared else None
        return {row: mean_ci(values[row], row == best) for row in rows}

    def body(columns: Sequence[dict[str, Latex]]) -> list[Row | Latex]:
        return [[symbols(row), *(each[row] for each in columns)] for row in rows]

    print_columns = [
        {row: number(getattr(PRINTED[row], split)) if row in PRINTED else MISSING for row in rows}
        for split in ("train", "validation")
    ]
    reconstruction = Panel(
        Latex("lrrrrrr"),
        [
            Latex(
                r" & \multicolumn{2}{c}{thesis, printed} & \multicolumn{2}{c}{relaxed samples}"
                r" & \multicolumn{2}{c}{hard samples} \\"
            ),
            Latex(r"\cmidrule(lr){2-3} \cmidrule(lr){4-5} \cmidrule(l){6-7}"),
            Latex(r"Reconstruction & train & valid. & train & valid. & train & valid. \\"),
        ],
        body(
            [
                *print_columns,
                *(column(split, metric) for metric in (RELAXED, HARD) for split in ("train", "validation")),
            ]
        ),
    )
    bounds = Panel(
        Latex("lrrrr"),
        [
            Latex(r" & KL & ELBO & ELBO & IW bound \\"),
            Latex(r"The same models & valid. & valid. & test & test \\"),
        ],
        body(
            [
                column("validation", "kl", compared=False),
                column("validation", "elbo"),
                column("test", "elbo"),
                column("test", "log_likelihood"),
            ]
        ),
    )
    caption = Latex(
        "Table 5.1 of the thesis, measured again: log-likelihoods in nats an image, higher is better. "
        f"{note} {spread_note(len(preset.seeds))} "
        "Relaxed samples: what Gumbel-Softmax trains with; a dash where a strategy trains with hard samples. "
        "The ELBO is that of hard samples with the exact KL; training and validation with one sample, test with "
        f"{preset.samples:,} samples, which the importance-weighted (IW) bound takes as well."
    )
    return table("table_5_1", caption, [reconstruction, bounds], size="footnotesize", separation="4pt")


def spread_note(seeds: int) -> str:
    """What the numbers and the bold ones are, for a caption."""
    bold = (
        "bold: best of its column, better than every other discrete row in a paired $t$-test over seeds "
        r"($p < 0.05$ after Holm's correction)"
    )
    if seeds < statistics.MINIMUM_SEEDS:
        bold = f"nothing is bold, for fewer than {statistics.MINIMUM_SEEDS} seeds support no winner"
    mean = rf"Mean $\pm$ 95\% interval (Student's $t$) over {seeds} seeds" if seeds > 1 else "One seed, no interval"
    return f"{mean}; {bold}."


def sensitivity(results: pd.DataFrame, lines: Sequence[Line]) -> Latex:
    """What the choices that the thesis leaves open do."""
    body: list[Row | Latex] = []
    for name in dict.fromkeys(line.printed for line in lines):
        row = PRINTED[name]
        title = rf"\multicolumn{{9}}{{@{{}}l}}{{\textit{{{symbols(name)}}}; printed: {number(row.train)} / "
        body += [RULE] * bool(body) + [Latex(rf"{title}{number(row.validation)}}} \\")]
        for line in lines:
            if line.printed == name:
                metrics = [
                    *((split, metric) for metric in (RELAXED, HARD) for split in ("train", "validation")),
                    ("validation", "kl"),
                    ("validation", "elbo"),
                ]
                cells = [mean_ci(by_seed(results, line_name(line), *each)) for each in metrics]
                gap = distance(results, line)
                away = MISSING if gap is None else Latex(f"${gap:+.2f}$")
                label = Latex(rf"\raggedright {symbols(line.label)}")  # a long one breaks
                body.append([label, line.config.epochs, *cells, away])
    header = [
        Latex(r" & & \multicolumn{2}{c}{relaxed samples} & \multicolumn{2}{c}{hard samples} & KL & ELBO & from \\"),
        Latex(r"\cmidrule(lr){3-4} \cmidrule(lr){5-6}"),
        Latex(r"Setting & epochs & train & valid. & train & valid. & valid. & valid. & print \\"),
    ]
    epochs = {line.config.epochs for line in lines}
    short = (
        f"Lines of fewer than {THESIS_EPOCHS} epochs are shorter than the thesis' and not comparable with its print. "
        if min(epochs) < THESIS_EPOCHS
        else ""
    )
    seeds = sorted({line.config.seed for line in lines})
    caption = Latex(
        "Settings that the thesis leaves open: reconstruction log-likelihood, KL and ELBO in nats an image. "
        rf"{'One seed a line' if len(seeds) == 1 else 'One run a line'}. {short}"
        "The last column is our validation reconstruction less the printed one, relaxed for Gumbel-Softmax and hard "
        r"for target propagation. $y$ and $x'$: the code and the prediction in equation 3.7, $\hat y = 2y - f(x')$; "
        r"$z$ is the one-hot sample. lr: learning rate."
    )
    return table(
        "sensitivity", caption, [Panel(Latex("p{6cm}rrrrrrrr"), header, body)], size="footnotesize", separation="3.5pt"
    )


def distance(results: pd.DataFrame, line: Line) -> float | None:
    """Our validation reconstruction less the printed one, in nats; None for a run that failed."""
    row = PRINTED[line.printed]
    values = by_seed(results, line_name(line), "validation", row.metric)
    return next(iter(values.values())) - row.validation if values else None


def meaning(results: pd.DataFrame) -> Latex:
    """What the table says, in two sentences."""

    def value(row: str, metric: str) -> float | None:
        values = by_seed(results, row, "validation", metric)
        return statistics.interval(list(values.values())).mean if values else None

    relaxed = value(GUMBEL_HALF, RELAXED)
    gumbel = [value(GUMBEL_HALF, metric) for metric in (HARD, "elbo", "kl")]
    target = [value(TARGET_PROPAGATION, metric) for metric in (HARD, "elbo", "kl")]
    if relaxed is None or None in gumbel or None in target:
        return Latex("A row that the comparison needs did not finish; see the caption.")
    (hard, elbo, kl), (target_hard, target_elbo, target_kl) = (
        [float(each) for each in values if each is not None] for values in (gumbel, target)
    )
    better, worse = (GUMBEL_HALF, TARGET_PROPAGATION) if elbo > target_elbo else (TARGET_PROPAGATION, GUMBEL_HALF)
    short = {GUMBEL_HALF: "Gumbel-Softmax", TARGET_PROPAGATION: "target propagation"}

    def apart(first: str, second: str, metric: str) -> Latex | None:
        one, other = (by_seed(results, row, "validation", metric) for row in (first, second))
        return compared(one, other)

    return Latex(
        "The thesis sets Gumbel-Softmax on relaxed samples beside target propagation on hard ones. On the validation "
        rf"images our Gumbel-Softmax at $\tau = 0.5$ reconstructs with {number(relaxed)} nats from relaxed samples "
        f"(printed {number(PRINTED[GUMBEL_HALF].validation)}) and with {number(hard)} from hard samples, which the "
        f"model is about. Target propagation has {number(target_hard)} from hard samples "
        f"(printed {number(PRINTED[TARGET_PROPAGATION].validation)}): target propagation less Gumbel-Softmax is "
        f"{apart(TARGET_PROPAGATION, GUMBEL_HALF, HARD)}. "
        "The ELBO also charges for the information in the code. It is "
        f"{number(elbo)} for Gumbel-Softmax (KL {number(kl)}) and {number(target_elbo)} for target propagation "
        f"(KL {number(target_kl)}): {short[better]} less {short[worse]} is {apart(better, worse, 'elbo')}. "
        r"At $\tau = 0.1$ Gumbel-Softmax "
        f"{tenth(results)}"
    )


def tenth(results: pd.DataFrame) -> str:
    """How far Gumbel-Softmax at the lower temperature is from its print."""
    values = list(by_seed(results, GUMBEL_TENTH, "validation", RELAXED).values())
    if not values:
        return "did not finish."
    mean, printed_value = statistics.interval(values).mean, PRINTED[GUMBEL_TENTH].validation
    side = "below" if mean < printed_value else "above"
    return (
        f"is {number(abs(mean - printed_value), 1)} nats {side} its print ({number(mean)} and {number(printed_value)})."
    )


def reading_chosen(results: pd.DataFrame, preset: Preset) -> Latex:
    """How the reading of the thesis' rule was found, and what its nearness to the print is worth."""
    config = THESIS_TARGET_PROPAGATION.config(Config(epochs=THESIS_EPOCHS))
    lines = [line for line in preset.sensitivity if line.printed == TARGET_PROPAGATION]
    rising = [line for line in lines if line.config.epochs == THESIS_EPOCHS and line.config.beta.warmup]
    text = (
        "The reading of the thesis' rule was chosen for coming near to the print, so that its nearness confirms nothing"
    )
    if [line.config for line in rising] == [config]:
        text += (
            f"; of the lines of {THESIS_EPOCHS} epochs it is the only one in which $\\beta$ grows from 0, as in the "
            "thesis. That line is the run of the row's first seed"
        )
    learned = [line for line in lines if getattr(line.config.options, "inverse", "") == "network"]
    known = {line: by_seed(results, line_name(line), "validation", "elbo") for line in learned}
    if len(learned) > 1 and all(known.values()):
        epochs, seed = learned[0].config.epochs, learned[0].config.seed
        text += (
            f". The reading with a learned inverse has the best validation ELBO of {len(learned)} after {epochs} "
            f"epochs, with seed {seed}" + (", which the table has too" if seed in preset.seeds else "")
        )
    return Latex(f"{text}.")


def openness(results: pd.DataFrame, lines: Sequence[Line]) -> Latex:
    """Which setting comes nearest to each print, what KL and ELBO come with it, and whether it reaches it.

    Of each group, the lines that were trained longest.
    """
    sentences = []
    for name in dict.fromkeys(line.printed for line in lines):
        group = [line for line in lines if line.printed == name and distance(results, line) is not None]
        longest = max((line.config.epochs for line in group), default=0)
        gaps = {line: distance(results, line) or 0.0 for line in group if line.config.epochs == longest}
        if not gaps:
            continue
        nearest = min(gaps, key=lambda line: abs(gaps[line]))
        gap = gaps[nearest]
        kl, elbo = (mean_ci(by_seed(results, line_name(nearest), "validation", metric)) for metric in ("kl", "elbo"))
        reached = (
            f"{number(abs(gap))} nats {'above' if gap < 0 else 'below'} it{differing(results, name)}"
            if abs(gap) <= REACHED
            else f"not reached: the line stays {number(abs(gap))} nats {'below' if gap < 0 else 'above'}"
        )
        sentences.append(
            rf"\textit{{{symbols(name)}.}} Nearest to the printed validation number "
            f"{number(PRINTED[name].validation)} among the lines of {longest} epoch{'s' * (longest > 1)}: "
            f"``{symbols(nearest.label)}''. The print is {reached}. "
            f"The line's KL is {kl} and its ELBO {elbo}."
        )
    sentences += untaught(results, lines)
    # Encoder and decoder share no parameter, and Adam's step has no unit: only the ratio of the two terms acts.
    sentences.append(
        r"The mean instead of the sum over the $NK$ entries of the encoder's squared error is no further choice: it "
        r"divides that term by $NK$, and since Adam does not see a common factor it is the same as $NK$ times $\beta$."
    )
    return Latex(" ".join(sentences))


def differing(results: pd.DataFrame, row: str) -> str:
    """How much the seeds of a row of Table 5.1 differ in what is held against the print."""
    values = list(by_seed(results, row, "validation", PRINTED[row].metric).values())
    return (
        f" (the table's row has a standard deviation over seeds of {np.std(values, ddof=1):.2f})"
        if len(values) > 1
        else ""
    )


def untaught(results: pd.DataFrame, lines: Sequence[Line]) -> list[str]:
    """What the thesis' rule does with beta = 0, where it was tried: the code, and whether it memorises."""
    for line in lines:
        if line.printed == TARGET_PROPAGATION and line.config.beta == Schedule(0.0):
            name, shape = line_name(line), line.config.architecture
            train, valid = (by_seed(results, name, split, HARD) for split in ("train", "validation"))
            entropy, kl = (by_seed(results, name, "validation", metric) for metric in ("code_entropy", "kl"))
            memorises = (
                bool(train) and statistics.interval([train[seed] - valid[seed] for seed in train]).mean > REACHED
            )
            if train and entropy and not memorises:
                whole = shape.latents * math.log(shape.categories)
                return [
                    rf"With $\beta = 0$ (``{symbols(line.label)}'', {line.config.epochs} epochs, one seed) the rule "
                    f"reconstructs training images ({mean_ci(train)}) no better than validation images "
                    f"({mean_ci(valid)}), so it does not memorise. An image's code is nearly deterministic "
                    f"(KL {mean_ci(kl)}), but images share most of it: the variables' posteriors, each averaged over "
                    f"images, have entropies that add up to {mean_ci(entropy)} of {number(whole)} nats. The code has "
                    "collapsed."
                ]
    return []


def order(rows: dict[str, Run]) -> dict[str, Run]:
    """The thesis' target propagation first, as in its figure 5.2, then the others."""
    return {name: rows[name] for name in sorted(rows, key=lambda name: name != TARGET_PROPAGATION)}


def illustrations(preset: Preset, note: Latex, digit: int | None) -> list[dict[str, Latex]]:
    """The figures in the document's order: file, size and caption."""
    seed = preset.seeds[0]
    probabilities = ", ".join(f"{each:g}" for each in thesis_figures.EXAMPLE)
    found = [
        (
            "learning_curves",
            "",
            f"Learning curves on the validation images: mean (line) and range (band) over {len(preset.seeds)} seeds, "
            f"one hard sample an image. {note}",
        ),
        (
            "figure_5_1",
            "",
            rf"Figure 5.1 of the thesis: $\pi$ of the target-propagation model (thesis' rule, seed {seed}) for the "
            f"first test image, a {digit}; one row a latent variable, one column a category. {note}",
        ),
        (
            "figure_5_2",
            "",
            "Figure 5.2 of the thesis: the first five test images above their reconstructions from one hard sample "
            f"(mean of the decoder), by target propagation as in the thesis and by the other strategies; seed {seed}. "
            f"{note}",
        ),
        (
            "figure_4_6",
            "",
            r"Figure 4.6 of the thesis: a categorical distribution (left; outlined in the others) and the mean of 100 "
            rf"Gumbel-Softmax samples of it at four temperatures $\tau$, with the same noise. Probabilities: "
            f"{probabilities}.",
        ),
        ("figure_2_3", "", "Figure 2.3 of the thesis: the sigmoid function and its derivative."),
    ]
    return [{"file": Latex(file), "size": Latex(size), "caption": Latex(text)} for file, size, text in found]


REPORT = Report("thesis", "the thesis' Table 5.1 and figures beside ours, on hard and relaxed samples", PRESETS, make)
