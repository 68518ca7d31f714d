"""The command ``discrete-vae``: train, evaluate, sample, list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch
from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from discrete_vae.cli.console import complain, standard_output
from discrete_vae.cli.evaluate import evaluate
from discrete_vae.cli.listing import list_runs
from discrete_vae.cli.options import task_of, unknown
from discrete_vae.cli.sample import sample
from discrete_vae.cli.train import SCHEDULES_HELP, TRAIN_HELP, train_command
from discrete_vae.errors import InputError
from discrete_vae.memory import keep_freed_memory
from discrete_vae.secrets import guard, remembering
from discrete_vae.strategies import STRATEGIES
from discrete_vae.training import Interrupted


def application(task: str) -> App:
    """The command line, with the options of ``train`` that have an effect in a task."""
    app = App(
        name="discrete-vae",
        help="Train and compare ways to train categorical latent variables, on one VAE backbone.",
        help_epilogue="Tables and figures: `python -m reports --help`.",
        version_flags=["--version"],
        default_parameter=Parameter(negative_iterable=()),
    )
    train = App(name="train", help=TRAIN_HELP, help_epilogue=SCHEDULES_HELP)
    for strategy in STRATEGIES:
        train.command(train_command(strategy, task), name=strategy)
    app.command(train)
    app.command(evaluate)
    app.command(sample)
    app.command(list_runs, name="list")
    return app


def run(app: App, tokens: Sequence[str] | None, explain: Callable[[str], str | None] = lambda option: None) -> int:
    """Run a command line and give its exit code: bad input ends in one line on standard error and code 2.

    ``explain`` may say why there is no such option or command.
    """
    keep_freed_memory()
    app.suppress_keyboard_interrupt = False  # else it exits by itself, as if the reader of its output had gone
    with remembering(sys.argv[1:] if tokens is None else tokens):
        try:
            with standard_output():
                return app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0
        except UnusedCliTokensError as error:
            complain(f"error: no argument takes {' '.join(map(repr, error.unused_tokens or []))}; leave it off")
            return 2
        except UnknownCommandError as error:
            complain(f"error: {explain((error.unused_tokens or [''])[0]) or error}")
            return 2
        except UnknownOptionError as error:
            complain(f"error: {explain(error.token.keyword or error.token.value) or error}")
            return 2
        except (InputError, CycloptsError) as error:
            complain(f"error: {error}")
            return 2
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            complain(f"error: there is not enough memory ({str(error).partition('. ')[0]}); give smaller sizes")
            return 2
        except Interrupted as error:
            complain(str(error))
            return 130
        except KeyboardInterrupt:
            complain("stopped; the same command goes on from what is done")
            return 130


def out_of_memory(error: Exception) -> bool:
    """Whether the error is a failed allocation, by Python, on the CPU or on a GPU."""
    told = "allocate memory" in str(error) or "not enough memory" in str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or told


def main(tokens: Sequence[str] | None = None) -> None:
    """The command ``discrete-vae``."""
    guard()
    words = list(sys.argv[1:] if tokens is None else tokens)
    task, strategy = task_of(words), next((word for word in words[1:2] if word in STRATEGIES), None)

    def explain(word: str) -> str | None:
        if strategy:
            return unknown(word, strategy, task)
        return f"{word} is no name of a strategy; a row in STRATEGIES gives yours one" if ":" in word else None

    sys.exit(run(application(task), words, explain))
