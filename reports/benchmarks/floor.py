"""The lower bound on a step's time: its matrix products and convolutions, and one update by PyTorch's fused Adam.

The products are those of the step's recording, of the same shapes and strides. The update is one
``torch.optim.Adam(fused=True).step()``, its Python included, over parameters of the same shapes. A GPU captures both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from discrete_vae.training.capture import Graphed, asked, kernels
from discrete_vae.training.step import Trainer
from reports.benchmarks.case import MIB

PRODUCTS = ("aten.bmm.default", "aten.baddbmm.default", "aten.mm.default", "aten.addmm.default")
CONVOLUTIONS = ("aten.convolution.default", "aten.convolution_backward.default")


class _Products(Interpreter):
    """Runs a recording once and keeps its products, with what they multiply; ``moved``: numbers read and written."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.moved = 0

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        made = super().call_function(target, args, kwargs)
        if (name := str(target)) in PRODUCTS:
            self._keep(torch.matmul, args[-2:], made)
        elif name in CONVOLUTIONS:
            self._keep(target, args, made)
        return made

    def _keep(self, function: Callable[..., Any], args: Sequence[Any], made: Any) -> None:
        copies = (
            each.detach().clone(memory_format=torch.preserve_format) if isinstance(each, Tensor) else each
            for each in args
        )
        self.calls.append((function, tuple(copies)))
        self.moved += sum(each.numel() for each in (*args, *tree_leaves(made)) if isinstance(each, Tensor))


def floor_of(trainer: Trainer) -> tuple[Callable[[], None], dict[str, float]]:
    """A function that does a step's floor, and its metrics: number of products, GFLOP, and MiB that have to move.

    Adam reads parameters, gradients and both moments and writes all but the gradients; each product reads its factors
    and writes its result.
    """
    observation = trainer.model.train_batch(trainer.data.train, trainer.order[0], trainer.generators)
    inputs = (observation, trainer.values[0])
    draws = asked(trainer.gradients, inputs, trainer.noise)
    products = _Products(kernels(trainer.gradients, inputs, draws))
    with torch.no_grad():
        products.run(*inputs, *draws)
    copies = [nn.Parameter(parameter.detach().clone()) for parameter in trainer.parameters]
    for copy in copies:
        copy.grad = torch.full_like(copy, 1e-3)
    on_gpu = trainer.device.type == "cuda"
    adam = torch.optim.Adam(copies, fused=True, capturable=on_gpu)

    @torch.no_grad()
    def floor() -> None:
        for function, args in products.calls:
            function(*args)
        adam.step()

    with FlopCounterMode(display=False) as counter:
        floor()
    return Graphed(floor, [], trainer.device) if on_gpu else floor, {
        "products": len(products.calls),
        "gflop": counter.get_total_flops() / 1e9,
        "traffic_mib": 4 * (7 * sum(copy.numel() for copy in copies) + products.moved) / MIB,
    }
