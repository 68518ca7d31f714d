"""Adam, gradient descent with momentum and weight decay for a population, with rates for each member."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn


class PopulationAdam:
    """Adam (Kingma and Ba 2015, torch's defaults) over parameters ``[P, ...]``.

    By torch's fused kernel. Members that share their learning rate are updated as one tensor; otherwise each member's
    slice is a parameter of its own, which gives the same numbers, since Adam acts on each element alone.
    """

    name = "adam"
    BETAS = (0.9, 0.999)

    def __init__(self, parameters: Iterable[nn.Parameter], members: int, shared_rate: bool) -> None:
        self.parameters = list(parameters)
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.slices = [slice(None)] if shared_rate else [slice(p, p + 1) for p in range(members)]
        if not self.parameters:
            self.slices = []
        self.groups = [
            tuple([tensor.detach()[s] for tensor in tensors] for tensors in (self.parameters, self.first, self.second))
            for s in self.slices
        ]
        # One count for each group, on the parameters' device, as the kernel wants it.
        self.counts = [torch.zeros((), device=self.parameters[0].device) for _ in self.slices]

    def state(self) -> dict[str, list[Tensor]]:
        """Moments of the gradients by name, each in the order of the parameters."""
        return {"first": self.first, "second": self.second}

    def set_step(self, step: int) -> None:
        """Say how many updates the moments have seen."""
        for count in self.counts:
            count.fill_(step)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], learning_rates: Tensor) -> None:
        """One update; ``gradients`` in the order of the parameters, ``learning_rates`` is ``[P]``."""
        # The kernel of torch.optim.Adam(fused=True) itself: its Python takes a fifth of a small update.
        for s, count, (parameters, first, second) in zip(self.slices, self.counts, self.groups, strict=True):
            torch._fused_adam_(
                parameters,
                [gradient[s].contiguous() for gradient in gradients],  # it reads memory, whatever the strides
                first,
                second,
                [],
                [count.add_(1)] * len(parameters),
                lr=learning_rates[s.start or 0],
                beta1=self.BETAS[0],
                beta2=self.BETAS[1],
                weight_decay=0.0,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )


class PopulationAdamWithoutMomentum(PopulationAdam):
    """Adam with betas 0 and 0.9, for games of two networks (Gulrajani et al. 2017, algorithm 1)."""

    name = "adam-0-0.9"
    BETAS = (0.0, 0.9)


class PopulationAdamWithHalfMomentum(PopulationAdam):
    """Adam with betas 0.5 and 0.9, for generators of language (Gulrajani et al. 2017, the authors' settings)."""

    name = "adam-0.5-0.9"
    BETAS = (0.5, 0.9)


class PopulationSgd:
    """Gradient descent with momentum 0.9 (Polyak 1964, as torch's SGD) over parameters ``[P, ...]``."""

    name = "sgd"
    MOMENTUM = 0.9

    def __init__(self, parameters: Iterable[nn.Parameter], members: int, shared_rate: bool) -> None:
        self.parameters = list(parameters)
        self.velocity = [torch.zeros_like(parameter) for parameter in self.parameters]

    def state(self) -> dict[str, list[Tensor]]:
        """Moments of the gradients by name, each in the order of the parameters."""
        return {"velocity": self.velocity}

    def set_step(self, step: int) -> None:
        """It counts no updates."""

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], learning_rates: Tensor) -> None:
        """One update; ``gradients`` in the order of the parameters, ``learning_rates`` is ``[P]``."""
        for parameter, velocity, gradient in zip(self.parameters, self.velocity, gradients, strict=True):
            velocity.mul_(self.MOMENTUM).add_(gradient)
            parameter.sub_(learning_rates.view(-1, *[1] * (velocity.dim() - 1)) * velocity)


OPTIMISERS: dict[str, type[PopulationAdam] | type[PopulationSgd]] = {
    optimiser.name: optimiser
    for optimiser in (PopulationAdam, PopulationAdamWithoutMomentum, PopulationAdamWithHalfMomentum, PopulationSgd)
}


def weights_of(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that weight decay is for: ``[P, ...]`` of two dimensions or more a member, without biases."""
    return [each for name, each in module.named_parameters() if each.dim() > 2 and not name.endswith("bias")]


@torch.no_grad()
def decay(weights: Iterable[nn.Parameter], shares: Tensor) -> None:
    """Take from each member's weights a share ``[P]`` of themselves, as AdamW does (Loshchilov and Hutter 2019)."""
    for weight in weights:
        weight.mul_((1 - shares).view(-1, *[1] * (weight.dim() - 1)))


def descent(parameters: Iterable[nn.Parameter], learning_rates: Tensor) -> Callable[[Tensor], None]:
    """A function of a loss ``[P]`` that moves the parameters by one step of Adam; ``learning_rates`` is ``[P]``."""
    adam = PopulationAdam(parameters, len(learning_rates), shared_rate=False)
    return lambda loss: adam.step(torch.autograd.grad(loss.sum(), adam.parameters), learning_rates)
