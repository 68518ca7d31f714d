"""Plain modules that cannot be members of a population are refused in one line, which names the remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from discrete_vae.backbones.plain import Members
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded


class Fails(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        raise RuntimeError("two\nlines")


class Mixes(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input - input.mean(0))


class FixedBatch(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.view(3, 4))


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no module": (lambda: torch.relu, "give a torch.nn.Module"),
    "fails": (lambda: Fails(4, 3), "(RuntimeError: two lines); mend it first"),
    "wrong shape": (lambda: nn.Linear(4, 2), "gives [3, 2] for [3, 4]; it has to give [3, 3]"),
    "no parameters": (lambda: nn.AdaptiveAvgPool1d(3), "has no parameters; give one that can be trained"),
    "dropout": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout()), "as dropout does; give layers without"),
    "normalised": (lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), "as batch normalisation does; give lay"),
    "statistics of a batch": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        "GroupNorm in place of batch normalisation",
    ),
    "one size of batches": (lambda: FixedBatch(4, 3), "depend on each other; give layers that treat each by itself"),
    "mixes": (lambda: Mixes(4, 3), "depend on each other; give layers that treat each by itself"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_member_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        Members(make, [seeded(0)], (4,), (3,), "the encoder of backbone mine")  # type: ignore[arg-type]
    told = str(caught.value)
    assert told.startswith("the encoder of backbone mine")
    assert message in told
    assert "\n" not in told


class Tied(nn.Module):
    """One matrix in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        given: Tensor = self.second(torch.tanh(self.first(inputs)))
        return given


def test_tied_parameters_stay_one() -> None:
    members = Members(Tied, [seeded(0), seeded(1)], (4,), (4,), "mine")
    assert len(list(members.parameters())) == 3
    assert members.module.first.weight is members.module.second.weight
