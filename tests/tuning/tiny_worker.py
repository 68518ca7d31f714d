"""A worker on a study small enough for a test: ``python tiny_worker.py URL RUNS TRIALS BATCH GRACE EPOCHS``."""

import dataclasses
import functools
import sys
from pathlib import Path

import torch

from discrete_vae import data
from discrete_vae.config import Config
from discrete_vae.tasks import Architecture
from discrete_vae.tuning import Search, Study, Worker, open_storage, open_study
from studies.gumbel_softmax import STUDY as WHOLE


@functools.cache
def images() -> data.Dataset:
    """A tenth of binarised MNIST, fewer still to validate and test on."""
    whole = data.load()
    few = (
        dataclasses.replace(each, pixels=each.pixels[:count], labels=each.labels[:count])
        for each, count in ((whole.train, 5000), (whole.validation, 500), (whole.test, 500))
    )
    return data.Dataset.of("mnist-few", *few, shape=(28, 28))


BASE = dataclasses.replace(
    WHOLE.searches[""].base,
    architecture=Architecture(4, 4, (8,)),
    batch_size=500,
    strategy="gumbel-softmax",
    data=images().config,
)


def tiny(epochs: int = 3, base: Config = BASE) -> Study:
    """The study of Gumbel-Softmax on a network of a few weights."""
    search = Search(base, WHOLE.searches[""].space)
    return dataclasses.replace(WHOLE, name="tiny", searches={"": search}, epochs=epochs)


def work(url: str, runs: Path, trials: int, batch: int = 1, grace: float = 4, epochs: int = 3) -> None:
    """Train until the study in this storage has so many trials."""
    study = tiny(epochs)
    found = open_study(study, "tiny", open_storage(url, grace))
    Worker(runs, images(), batch=batch).work(found, study, study.searches[""], trials)


if __name__ == "__main__":
    torch.set_num_threads(1)
    url, runs, trials, batch, grace, epochs = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()
    work(url, Path(runs), int(trials), int(batch), float(grace), int(epochs))
