"""Adam for a population: torch's fused kernel, with a learning rate for each member."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class PopulationAdam:
    """Adam (Kingma and Ba 2015, torch's defaults) over parameters ``[P, ...]``.

    Members that share their learning rate are updated as one tensor; otherwise each member's slice is a parameter of
    its own, which gives the same numbers, since Adam acts on each element alone.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], members: int, shared_rate: bool) -> None:
        self.parameters = list(parameters)
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps: list[Tensor] = []
        self.slices = [slice(None)] if shared_rate else [slice(p, p + 1) for p in range(members)]
        self.views = [[parameter.detach()[s] for parameter in self.parameters] for s in self.slices]
        self.adam = None
        if self.parameters:
            groups = [{"params": views, "lr": 0.0} for views in self.views]
            self.adam = torch.optim.Adam(groups, fused=True)
            self._adopt_state()

    def _adopt_state(self) -> None:
        """Give torch's optimiser our stacked moments, so that a member's state can be cut out and put back."""
        assert self.adam is not None
        for s, views in zip(self.slices, self.views, strict=True):
            for view, first, second in zip(views, self.first, self.second, strict=True):
                count = torch.zeros((), device=view.device)
                self.steps.append(count)
                self.adam.state[view] = {"step": count, "exp_avg": first[s], "exp_avg_sq": second[s]}

    def set_step(self, step: int) -> None:
        """Say how many updates the moments have seen."""
        for count in self.steps:
            count.fill_(step)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, learning_rates: Tensor) -> None:
        """One update from the parameters' gradients; ``learning_rates`` is ``[P]``."""
        if self.adam is None:
            return
        for s, views, group in zip(self.slices, self.views, self.adam.param_groups, strict=True):
            group["lr"] = learning_rates[s.start or 0].item()
            for view, parameter in zip(views, self.parameters, strict=True):
                view.grad = None if parameter.grad is None else parameter.grad[s]
        self.adam.step()
