"""The command ``python -m discrete_vae.conformance``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Column, Table

from discrete_vae.cli.arguments import Natural, whole
from discrete_vae.cli.command import run
from discrete_vae.conformance.capabilities import COLUMNS
from discrete_vae.conformance.choice import accepted, read_options, resolve
from discrete_vae.conformance.figures import DRAWS, Figures, Line, csv_line, judged, measured, name_of
from discrete_vae.conformance.problem import takes_model_steps
from discrete_vae.conformance.subject import Finding, Subject
from discrete_vae.errors import InputError
from discrete_vae.progress import TerminalProgress, terminal_progress
from discrete_vae.secrets import guard
from discrete_vae.strategies.base import options_of

HELP = """Measure a strategy's gradient beside its claim, on a problem that is small enough for the exact gradient.

For example `python -m discrete_vae.conformance reinmax --set temperature=1.3`, or for a class of your own in mine.py of
this folder, `python -m discrete_vae.conformance mine:MyEstimator`. The strategy is built as a run builds it.

The rows, claim beside measurement:

- mean: `unbiased` says that the mean of the gradients is the exact gradient. z is the largest error of an element of
  the mean in standard errors: about 2 to 3 without a bias, and above 5.5 a bias is certain.
- bias: norm of the mean's error, relative to the exact gradient's norm; it includes the sampling error of the draws.
- cosine, length: direction of the mean, and its norm relative to the exact one's. A biased strategy claims neither:
  the table keeps them, so that a change shows.
- spread: standard deviation of one draw, relative to the exact gradient's norm. Variance: its square.
- cost: samples that one step decodes for an example (`Claim.evaluations`).
- value, decoder: the loss is the objective at the decoded sample, and the layers behind the latents learn from that
  loss; so estimates nest. Noise: it draws from `noise` alone, so that a seed decides the result. Members: two runs
  side by side, with two values of a schedule, are what each is alone.
- sample: whether the decoded sample is hard, a corner of the simplex, or relaxed (`Claim.relaxed`).

Below are the capabilities, what the interface promises for any logits and costs:

- second: derivatives of the gradient are right, or refused with an error.
- masked: with categories at -inf, the gradient in the others is that of the problem without them, draw by draw (yes) or
  in the mean (mean); nothing is infinite.
- nan: NaN in one example's logits gives NaN in its loss alone.
- shapes: layouts such as [B, K] and [B, K, H, W] with dim=1 give what [B, N, K] gives, and wrong losses are refused.
- half: bfloat16 and float16 logits have the gradient of float32 ones.
- func, compile: torch.func.grad with vmap, and torch.compile(fullgraph=True), give autograd's gradient.

To paste: the lines below `conformance.csv` go into tests/strategies/conformance.csv, beside
`Row("NAME", lambda problem, temperature: MyEstimator())` in tests/strategies/test_conformance.py. The line below
`capabilities.csv` goes into tests/strategies/capabilities.csv for a strategy that is in STRATEGIES.

The exit code is 1 if a claim does not hold."""

app = App(name="python -m discrete_vae.conformance", help=HELP, version_flags=[])


@app.default
def conformance(
    name: str,
    *,
    shape: Annotated[tuple[int, int] | None, whole(1, 1000), Parameter(show_default=False, negative="")] = None,
    draws: Annotated[int, whole(2)] = DRAWS,
    seed: Natural = 1,
    steps: Natural = 0,
    options: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = (),
) -> int:
    """Measure a strategy.

    Parameters
    ----------
    name
        A strategy of the library, or module:Class of your own in the current folder.
    shape
        Variables N and categories K. By default both problems of the table: 2 variables of 3 categories (ternary) and 3
        of 2 (binary), except those that the strategy refuses.
    draws
        Gradients to draw; the error of the mean goes down with their square root.
    seed
        Seed of the draws.
    steps
        Adam steps on the problem before the measurement, for what the strategy learns (baselines, control variates);
        by default it is measured as a run begins.
    options
        An option of the strategy, name=value, as often as needed.
    """
    kind = resolve(name)
    chosen = read_options(kind, options)
    if shape is not None and shape[1] < 2:
        raise InputError(f"shape is {shape[0]} {shape[1]}; give at least 2 categories")
    subjects, refused = accepted(name, kind, chosen, shape)
    with terminal_progress() as progress:
        found = [figures_of(subject, draws, seed, steps, progress) for subject in subjects]
        findings = capabilities_of(subjects[0], progress)
    values = ", ".join(f"{each}={getattr(chosen, each)}" for each in options_of(kind))
    print(f"{kind.__module__}:{kind.__qualname__}({values})")
    if refused:
        print(f"left out: {refused}")
    print(learned(subjects[0], steps))
    for subject, (lines, _) in zip(subjects, found, strict=True):
        latents, categories = subject.shape
        title = f"{name_of(subject.shape)}, N = {latents}, K = {categories}, {draws:,} draws"
        show(title if kind.categorical() else f"{latents} latents, {draws:,} draws", lines)
    capabilities = Table("capability", "found", Column("why", overflow="fold"), title_justify="left")
    for column, finding in findings.items():
        capabilities.add_row(column, finding.verdict, finding.why)
    Console().print(capabilities)
    print("\nconformance.csv:")
    print(csv_line("row", "problem", *Figures._fields))
    for subject, (_, figures) in zip(subjects, found, strict=True):
        print(csv_line(name, name_of(subject.shape), *figures))
    print("\ncapabilities.csv:")
    print(csv_line("name", *COLUMNS, "why"))
    print(csv_line(name, *(each.verdict for each in findings.values()), why(findings)))
    return int(any(line.holds is False for lines, _ in found for line in lines))


def figures_of(
    subject: Subject, draws: int, seed: int, steps: int, progress: TerminalProgress
) -> tuple[list[Line], Figures]:
    """The claim on one problem, line by line, and the figures for the table."""
    problem = subject.problem()
    strategy = problem.learn(problem.build(subject.kind, subject.options), steps)
    with progress.counting(f"draws, {name_of(subject.shape)}", draws) as advance:
        error, found, detectable = measured(strategy, problem, problem.exact(strategy), draws, seed, advance)
    return judged(strategy, problem, error, found, detectable), found


def capabilities_of(subject: Subject, progress: TerminalProgress) -> dict[str, Finding]:
    """The finding of each column."""
    findings = {}
    with progress.counting("capabilities", len(COLUMNS)) as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, on how fast a transformation is
        for column, find in COLUMNS.items():
            findings[column] = find(subject)
            advance(1)
    return findings


def learned(subject: Subject, steps: int) -> str:
    """A sentence on the state of what the strategy learns by itself."""
    strategy = subject.problem().build(subject.kind, subject.options)
    count = sum(each.numel() for each in strategy.parameters())
    moving = [name for name, _ in strategy.named_buffers() if name not in strategy.minima]
    if not count and not moving:
        return "it learns nothing by itself"
    what = f"what it learns by itself ({count} parameters{', moving means' if moving else ''})"
    if not steps:
        return f"{what}: as a run begins; --steps lets it learn first"
    own = ", but for what the model's optimiser updates" if takes_model_steps(strategy) else ""
    return f"{what}: after {steps} steps on the problem{own}"


def show(title: str, lines: Sequence[Line]) -> None:
    """Print the claim beside the measurement."""
    table = Table("", "claim", Column("measured", justify="right"), "", Column("why", overflow="fold"), title=title)
    said = {True: "holds", False: "does not hold", None: ""}
    for line in lines:
        open_question = line.holds is None and line.reason
        verdict = "open" if open_question else said[line.holds]
        table.add_row(line.what, line.claim, line.measured, verdict, line.reason)
    Console().print(table)


def why(findings: Mapping[str, Finding]) -> str:
    """The reasons of all columns in one cell."""
    return "; ".join(f"{column}: {each.why}" for column, each in findings.items() if each.why)


def main(tokens: Sequence[str] | None = None) -> None:
    """The command ``python -m discrete_vae.conformance``."""
    guard()
    sys.exit(run(app, tokens))


if __name__ == "__main__":
    main()
