"""Anybody's networks: plain torch modules of one member, of which a population is made.

The members' parameters are stacked, ``[P, ...]``, and each member is called by itself, which in a recorded step costs
no Python. ``torch.func.vmap`` over the stack is slower on a processor: it groups convolutions by members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from discrete_vae.backbones.base import Backbone, Widths
from discrete_vae.backbones.layers import as_flat, as_image, by_member
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError

Pair = Callable[[Shape, int, int, Widths], tuple[nn.Module, nn.Module]]
"""Image, size of the code, numbers a pixel and widths -> an encoder from images ``[B, C, H, W]`` to ``[B, code]``, and
a decoder from ``[B, code]`` to ``[B, C numbers, H, W]``."""
PROBES = 3
"""Examples that a module is tried on."""


class PlainBackbone(Backbone):
    """Of a function that makes a pair of plain modules, of which a call uses one; it may read any of the widths."""

    def __init__(self, pair: Pair, name: str) -> None:
        self.pair, self.name = pair, name

    def encoder(
        self, image: Shape, outputs: int, widths: Widths, generators: Sequence[torch.Generator], beside: int = 0
    ) -> nn.Module:
        if beside:
            raise InputError(f"backbone {self.name} takes images alone; give mlp or conv")
        return Members(
            lambda: self.pair(image, outputs, 1, widths)[0],
            generators,
            (image.size,),
            (outputs,),
            f"the encoder of backbone {self.name}",
            before=lambda flat: as_image(flat, image),
        )

    def decoder(
        self, code: int, image: Shape, numbers: int, widths: Widths, generators: Sequence[torch.Generator]
    ) -> nn.Module:
        return Members(
            lambda: self.pair(image, code, numbers, widths)[1],
            generators,
            (code,),
            (image.channels * numbers, image.rows, image.columns),
            f"the decoder of backbone {self.name}",
            after=as_flat,
        )


class Members(nn.Module):
    """P modules of one kind, each with parameters of its own: flat ``[..., P, B, in] -> [..., P, B, out]``.

    ``before`` and ``after`` bring a member's flat inputs and its outputs to the shapes of the module and back. Raises
    ``InputError``, which names ``whose`` module it is, for one that cannot be trained in this way: it fails, gives
    another shape, draws random numbers, keeps state, or lets the examples of a batch depend on each other.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        generators: Sequence[torch.Generator],
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        whose: str,
        before: Callable[[Tensor], Tensor] = lambda flat: flat,
        after: Callable[[Tensor], Tensor] = lambda flat: flat,
    ) -> None:
        super().__init__()
        self.before, self.after = before, after
        probes = torch.rand(PROBES, *inputs, generator=torch.Generator().manual_seed(0))
        modules = [_seeded(make, generator, before(probes), outputs, whose) for generator in generators]
        self.module = modules[0]
        _check(self.module, before(probes), whose)
        self._stack(modules)

    def _stack(self, modules: Sequence[nn.Module]) -> None:
        """Let the first one hold the parameters and buffers of all; what it holds in two places stays one tensor."""
        made: dict[int, Tensor] = {}
        first = [
            *self.module.parameters(),
            *self.module.buffers(),
        ]  # kept, so that no other tensor gets an id of theirs
        for path, owner in self.module.named_modules():
            for held in (owner._parameters, owner._buffers):
                for name, tensor in held.items():
                    if tensor is None:
                        continue
                    if id(tensor) not in made:
                        own = [getattr(each.get_submodule(path), name).detach() for each in modules]
                        stacked = torch.stack(own)
                        trained = isinstance(tensor, nn.Parameter)
                        made[id(tensor)] = nn.Parameter(stacked, tensor.requires_grad) if trained else stacked
                    held[name] = made[id(tensor)]  # type: ignore[assignment]
        del first

    def forward(self, inputs: Tensor) -> Tensor:
        state = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
        own = [
            dict(zip(state, one, strict=True)) for one in zip(*(each.unbind(0) for each in state.values()), strict=True)
        ]

        def members(each: Tensor) -> Tensor:
            return torch.stack([self._one(*pair) for pair in zip(each.unbind(0), own, strict=True)])

        return by_member(members, inputs, len(own))

    def _one(self, inputs: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """A member's: ``[B, in] -> [B, out]``."""
        outputs: Tensor = functional_call(self.module, dict(state), (self.before(inputs),))
        return self.after(outputs)


def _seeded(
    make: Callable[[], nn.Module], generator: torch.Generator, probes: Tensor, outputs: tuple[int, ...], whose: str
) -> nn.Module:
    """A module that starts from a generator's numbers, and was called once, since some get their weights then."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = make()
            if not isinstance(module, nn.Module):
                raise InputError(f"{whose} is a {type(module).__name__}; give a torch.nn.Module")
            with torch.no_grad():
                given = module(probes)
        except InputError:
            raise
        except Exception as error:
            told = " ".join(str(error).split())[:300]
            raise InputError(
                f"{whose} fails on {list(probes.shape)} ({type(error).__name__}: {told}); mend it first"
            ) from error
    shape = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
    if shape != [len(probes), *outputs]:
        raise InputError(f"{whose} gives {shape} for {list(probes.shape)}; it has to give {[len(probes), *outputs]}")
    if not any(True for _ in module.parameters()):
        raise InputError(f"{whose} has no parameters; give one that can be trained")
    return module


@torch.no_grad()
def _check(module: nn.Module, probes: Tensor, whose: str) -> None:
    """Raise ``InputError`` for outputs that depend on more than parameters and the example itself."""
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        first, second = module(probes), module(probes)
        try:
            fewer = module(probes[:2])  # not one alone, which batch normalisation does not take
        except Exception:  # of a module that is made for one size of batches
            fewer = None
    if changed := [name for name, buffer in module.named_buffers() if not buffer.equal(kept[name])]:
        raise InputError(
            f"{whose} changes its buffer {changed[0]} when it is called, as batch normalisation does; give layers "
            "without such state, e.g. GroupNorm"
        )
    if not first.equal(second):
        raise InputError(f"{whose} draws random numbers, as dropout does; give layers without")
    if fewer is None or fewer.shape != first[:2].shape or not torch.allclose(first[:2], fewer, rtol=1e-3, atol=1e-4):
        raise InputError(
            f"{whose} lets the examples of a batch depend on each other; give layers that treat each by itself, e.g. "
            "GroupNorm in place of batch normalisation"
        )
