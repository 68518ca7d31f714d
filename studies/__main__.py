"""The command ``python -m studies``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, Parameter

from discrete_vae.cli.command import run
from discrete_vae.secrets import guard
from studies.command.show import list_studies, show
from studies.command.upkeep import clean, export, proxy
from studies.command.winners import best
from studies.command.work import run_study, worker

app = App(
    name="python -m studies",
    help="""Tune strategies with Optuna: temperature, learning rates and whatever else a study says.

```
python -m studies list
python -m studies run gumbel-softmax --trials 20   # the same command goes on
python -m studies best gumbel-softmax              # the winner on test images
```

Studies run on other data, with other networks and from files of your own, with no change of the library:

```
python -m studies run gumbel-softmax --dataset path/to/images --backbone conv --hidden 128
python -m studies best gumbel-softmax+                 # by the name that `run` shows, or its beginning
python -m studies run path/to/mine.py              # a file that defines STUDY
```

A trial trains several seeds side by side; its value is the mean of their validation ELBOs after the last epoch, in
nats, or of another metric that the study names; the study looks for the highest. Many machines share a study through
PostgreSQL:

```
python -m studies worker gumbel-softmax --storage postgresql+psycopg://user@host/db
```

Trials of one process come out the same each time. Those of several do not, because what is tried next depends on what
has ended. Publish what `best` gives, not the values of trials.""",
    version_flags=[],
    default_parameter=Parameter(negative_iterable=()),
)
app.command(list_studies, name="list")
app.command(run_study, name="run")
app.command(worker)
app.command(show)
app.command(best)
app.command(export)
app.command(clean)
app.command(proxy)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m studies``."""
    guard()
    sys.exit(run(app, arguments))


if __name__ == "__main__":
    main()
