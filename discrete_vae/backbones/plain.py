"""A user's networks: plain torch modules of one member, from which a population is made.

The members' parameters are stacked, ``[P, ...]``, and each member is called by itself; a recorded step runs no Python
for that. ``torch.func.vmap`` over the stack is slower on a CPU: it groups convolutions by members.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from discrete_vae.backbones.base import Backbone, Widths
from discrete_vae.backbones.layers import as_flat, as_image, by_member
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError

Pair = Callable[[Shape, int, int, Widths], tuple[nn.Module, nn.Module]]
"""Image, size of the code, numbers a pixel and widths -> an encoder from images ``[B, C, H, W]`` to ``[B, code]``, and
a decoder from ``[B, code]`` to ``[B, C numbers, H, W]``."""
PROBES = 3
"""Examples that a module is tried on."""
CROWD = 33
"""Batch size of the check that an example's output does not depend on the others."""
FAR = 100
"""Factor by which the other examples of that batch are larger, so that their influence shows."""


class PlainBackbone(Backbone):
    """From a function that makes a pair of plain modules, of which a call uses one; it may read any of the widths."""

    def __init__(self, pair: Pair, name: str, unread: Mapping[str, str] | None = None) -> None:
        self.pair, self.name, self.unread = pair, name, unread or {}

    def idle(self, widths: Widths) -> Mapping[str, str]:
        """Fields that the function does not read, where that is known."""
        return self.unread

    def _pair(self, image: Shape, code: int, numbers: int, widths: Widths) -> tuple[nn.Module, nn.Module]:
        """The function's pair of modules. Raises ``InputError`` if it is no pair."""
        made: object = self.pair(image, code, numbers, widths)
        if not isinstance(made, tuple | list):
            kind = "None" if made is None else f"a {type(made).__name__}"
            raise InputError(f"backbone {self.name} gives {kind}; give a pair of modules, encoder and decoder")
        if len(made) != 2:
            raise InputError(
                f"backbone {self.name} gives a {type(made).__name__} of {len(made)}; give a pair of modules, encoder "
                "and decoder"
            )
        return made[0], made[1]

    def encoder(
        self, image: Shape, outputs: int, widths: Widths, generators: Sequence[torch.Generator], beside: int = 0
    ) -> nn.Module:
        if beside:
            raise InputError(f"backbone {self.name} takes only images as inputs; give mlp or conv")
        return Members(
            lambda: self._pair(image, outputs, 1, widths)[0],
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
            lambda: self._pair(image, code, numbers, widths)[1],
            generators,
            (code,),
            (image.channels * numbers, image.rows, image.columns),
            f"the decoder of backbone {self.name}",
            after=as_flat,
        )


class Members(nn.Module):
    """P modules of one kind, each with parameters of its own: flat ``[..., P, B, in] -> [..., P, B, out]``.

    ``before`` and ``after`` bring a member's flat inputs and its outputs to the shapes of the module and back. Frozen
    parameters become buffers. Raises ``InputError``, which names ``whose`` module it is, for one that cannot be trained
    in this way: it fails, gives another shape, draws random numbers, keeps state, lets the examples of a batch depend
    on each other, has parameters without a gradient, or is made once for several members.
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
        # A single member gets a second one beside it, so that the checks do not depend on the number of members.
        beside = [torch.Generator().manual_seed(0)] if len(generators) == 1 else []
        modules = [_seeded(make, each, before(probes), outputs, whose) for each in (*generators, *beside)]
        _check_alike(modules, whose)
        _check(modules[0], before(probes), whose)
        self.module = _copied(modules[0], before(probes), whose)
        _check_state(self.module, modules, before(probes), whose)
        self._stack(modules[: len(generators)])

    def _stack(self, modules: Sequence[nn.Module]) -> None:
        """Let the copy hold the parameters and buffers of all; a tensor that it holds in two places stays one."""
        made: dict[int, Tensor] = {}
        places = [  # collected first: the list keeps the tensors alive, so that no new tensor reuses an id
            (path, owner, name, tensor)
            for path, owner in self.module.named_modules()
            for held in (owner._parameters, owner._buffers)
            for name, tensor in held.items()
            if tensor is not None
        ]
        for path, owner, name, tensor in places:
            trained = isinstance(tensor, nn.Parameter) and tensor.requires_grad
            if id(tensor) not in made:
                stacked = torch.stack([getattr(each.get_submodule(path), name).detach() for each in modules])
                made[id(tensor)] = nn.Parameter(stacked) if trained else stacked
            if isinstance(tensor, nn.Parameter) and not trained:  # a constant, which the optimiser does not see
                del owner._parameters[name]
                owner.register_buffer(name, made[id(tensor)])
            elif trained:
                owner._parameters[name] = made[id(tensor)]  # type: ignore[assignment]
            else:
                owner._buffers[name] = made[id(tensor)]

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
    """A module seeded by a generator and called once, because some modules make their weights at the first call."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = make()
            if not isinstance(module, nn.Module):
                raise InputError(f"{whose} is a {type(module).__name__}; give a torch.nn.Module")
            with torch.no_grad():
                given = module(probes.clone())
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise _failing(whose, probes, error) from error
    shape = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
    if shape != [len(probes), *outputs]:
        raise InputError(f"{whose} gives {shape} for {list(probes.shape)}; it has to give {[len(probes), *outputs]}")
    if not given.isfinite().all():
        what = "NaN" if given.isnan().any() else "infinite numbers"
        raise InputError(f"{whose} gives {what} for inputs between 0 and 1; fix its weights or its arithmetic")
    if not any(each.requires_grad for each in module.parameters()):
        raise InputError(f"{whose} has no parameters to train; give one that can be trained")
    return module


def _failing(whose: str, inputs: Tensor, error: BaseException) -> InputError:
    """The error for a module, or a function that makes it, that raises one."""
    told = " ".join(str(error).split())[:300]
    return InputError(f"{whose} fails on {list(inputs.shape)} ({type(error).__name__}: {told}); fix it first")


def _check_alike(modules: Sequence[nn.Module], whose: str) -> None:
    """Raise ``InputError`` unless each has parameters of its own, of the same names and shapes."""
    for one, other in itertools.pairwise(modules):
        theirs = {id(each) for each in one.parameters()}
        if shared := [name for name, each in other.named_parameters() if id(each) in theirs]:
            raise InputError(
                f"{whose} has the parameter {shared[0]} of the one before; the function must make new modules at each "
                "call"
            )
        if _layout(one) != _layout(other):
            raise InputError(
                f"{whose} has parameters or buffers of other names, shapes or kinds at another call; the function must "
                "make modules of one kind"
            )


def _layout(module: nn.Module) -> list[tuple[object, ...]]:
    """Names, shapes and kinds of parameters and buffers, and which of them are one tensor in several places."""
    held = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    first: dict[int, str] = {}
    return [(name, first.setdefault(id(each), name), each.shape, each.dtype, each.requires_grad) for name, each in held]


@torch.no_grad()
def _check(module: nn.Module, probes: Tensor, whose: str) -> None:
    """Raise ``InputError`` for outputs that depend on more than parameters and the example itself."""
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        given, state = probes.clone(), torch.get_rng_state()
        version = given._version  # counts operations in place, also those that change no number
        try:
            first, before = module(given), _numbers(module)
            second, after = module(probes.clone()), _numbers(module)
        except (Exception, SystemExit) as error:
            raise _failing(whose, probes, error) from error
        drawn = not torch.get_rng_state().equal(state)
    if given._version != version:
        raise InputError(f"{whose} changes its inputs in place; let it work on a copy")
    if changed := [name for name, buffer in module.named_buffers() if not buffer.equal(kept[name])]:
        raise InputError(
            f"{whose} changes its buffer {changed[0]} when it is called, as batch normalisation does; give layers "
            "without such state, e.g. GroupNorm"
        )
    if drawn:
        raise InputError(f"{whose} draws random numbers, as dropout does; give layers without")
    if not first.equal(second):
        raise InputError(
            f"{whose} gives another output the second time; let it depend on inputs, parameters and buffers alone"
        )
    if counters := [name for name, value in after.items() if before.get(name, value) != value]:
        raise InputError(f"{whose} changes its attribute {counters[0]} at each call; give layers without such state")
    normalising = [
        each
        for each in module.modules()
        if isinstance(each, _BatchNorm) and (each.training or each.running_mean is None)
    ]
    if normalising or not _separate(module, probes, whose):
        raise InputError(
            f"{whose} lets the examples of a batch depend on each other; give layers that treat each by itself, e.g. "
            "GroupNorm in place of batch normalisation"
        )


def _numbers(module: nn.Module) -> dict[str, float]:
    """Plain numbers among the attributes of all its modules, by name."""
    return {
        f"{path}.{name}".removeprefix("."): value
        for path, each in module.named_modules()
        for name, value in vars(each).items()
        if isinstance(value, bool | int | float)
    }


def _separate(module: nn.Module, probes: Tensor, whose: str) -> bool:
    """Whether an example's output alone equals its output beside other, distant examples."""
    inputs = probes[torch.arange(CROWD) % len(probes)]
    inputs[1:] *= FAR
    tolerance = 1e-5
    try:  # in double precision, where rounding hides less
        double = copy.deepcopy(module).double()
        if double(inputs[:1].double()).dtype == torch.float64:
            module, inputs, tolerance = double, inputs.double(), 1e-6
    except (Exception, SystemExit):  # of a module that needs its own precision
        pass
    outputs = []
    for size in (1, len(probes), CROWD):
        try:
            outputs.append(module(inputs[:size].clone())[:1])
        except (Exception, SystemExit) as error:
            raise _failing(whose, inputs[:size], error) from error
    alone = outputs[0]
    scale = float(alone.abs().max())
    return all(
        each.shape == alone.shape and torch.allclose(each, alone, rtol=0, atol=tolerance * scale + 1e-9)
        for each in outputs[1:]
    )


def _copied(module: nn.Module, probes: Tensor, whose: str) -> nn.Module:
    """A copy, as a population makes them. Raises ``InputError`` if the module cannot be copied after a call."""
    try:
        with torch.enable_grad():
            module(probes.clone())
        return copy.deepcopy(module)
    except (Exception, SystemExit) as error:
        told = " ".join(str(error).split())[:200]
        raise InputError(
            f"{whose} cannot be copied ({type(error).__name__}: {told}); keep no outputs as attributes, and give "
            "torch.nn.utils.parametrizations.weight_norm in place of torch.nn.utils.weight_norm"
        ) from error


def _check_state(copied: nn.Module, modules: Sequence[nn.Module], probes: Tensor, whose: str) -> None:
    """Raise ``InputError`` unless modules differ only in parameters and buffers, and all parameters can be trained."""
    for module in modules:
        state = dict(module.named_parameters()) | dict(module.named_buffers())
        try:
            with torch.enable_grad():
                outputs = functional_call(copied, state, (probes.clone(),))
                expected = module(probes.clone())
        except (Exception, SystemExit) as error:
            raise _failing(whose, probes, error) from error
        if not outputs.equal(expected):
            raise InputError(
                f"{whose} keeps numbers outside parameters and buffers, which another call makes anew; register each "
                "as a parameter or buffer"
            )
        trained = {name: each for name, each in module.named_parameters() if each.requires_grad}
        found: Sequence[Tensor | None] = [None] * len(trained)
        if outputs.requires_grad:
            try:
                found = torch.autograd.grad(outputs.sum(), list(trained.values()), allow_unused=True)
            except (Exception, SystemExit) as error:
                raise _failing(f"{whose}, backwards,", probes, error) from error
        if without := [name for name, each in zip(trained, found, strict=True) if each is None]:
            raise InputError(
                f"{whose} gives no gradient to its parameter {without[0]}; use it outside of torch.no_grad, freeze it "
                "by requires_grad_(False), or leave it out"
            )
