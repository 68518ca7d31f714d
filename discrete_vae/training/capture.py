"""One training step, captured: its kernels run without the Python that called them the first time.

On a CPU a pure function of tensors and noise is recorded as the flat list of kernels that it calls, forward and
backward, and may be compiled (``torch.compile``); on a GPU a whole step becomes a CUDA graph. Both replay what they saw
and nothing else: whatever changes from step to step has to live in tensors, not in Python numbers.
"""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from discrete_vae.latents.noise import Noise
from discrete_vae.training.python_state import watched

RECORD_AFTER = 100
"""Steps before a recording on a CPU, which takes as long as Python does in about as many. A short run has none."""
CHECKS = 3
"""Replays of a recording that are compared with the function itself, before it is trusted."""
WARM_UP = 3
"""Steps that a CUDA device takes before the capture, for libraries and allocator to settle."""


MASKS = torch.bool, torch.uint8
"""Kinds of an index that picks where it is true."""
PLAINLY = "the step could not be recorded, and is slower for it"


class _Asked(Noise):
    """Notes the requests for numbers; it gives no noise, because asking must not use up a run's own."""

    def __init__(self, device: torch.device | str | None) -> None:
        super().__init__(device=device)
        self.draws: list[Tensor] = []

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        self.draws.append(torch.full(tuple(shape), 0.5, dtype=dtype, device=self.device))
        return self.draws[-1].clone()


class _Given(Noise):
    """Hands out numbers that were drawn before, in the order in which they are asked for, and then other ones."""

    def __init__(self, draws: Sequence[Tensor], then: Noise | None = None) -> None:
        super().__init__()
        self.draws, self.then = list(draws), then

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return self.draws.pop(0) if self.draws or self.then is None else self.then.uniform(shape, dtype)


def asked(function: Callable[..., Any], inputs: Sequence[Tensor], noise: Noise) -> list[Tensor]:
    """Tensors of the shapes that ``function(*inputs, noise)`` draws; none of the noise is used up."""
    asking = _Asked(noise.device)
    function(*inputs, asking)
    return asking.draws


def kernels(function: Callable[..., Any], inputs: Sequence[Tensor], draws: Sequence[Tensor]) -> GraphModule:
    """The kernels that ``function(*inputs, noise)`` calls, as a function of inputs and draws: no generator in it."""
    count = len(inputs)

    def given(*tensors: Tensor) -> Any:
        return function(*tensors[:count], _Given(tensors[count:]))

    return make_fx(given)(*inputs, *draws)


class Recorded:
    """``function(*inputs, noise)``, recorded after some plain calls; gives the same bits, or nearly so if compiled.

    The function may differentiate inside, and has to give plain tensors back; what it changes are tensors of
    ``modules``, for a recording must not count as a call, and ``state`` gives those that stay from call to call, by
    default all. Where it cannot be recorded or compiled, ``warn`` is told so, once, and the next simpler way is taken.
    So it is where a call changes what only Python knows of the modules, such as a counter, or draws random numbers
    elsewhere; and where a replay gives other bits. A compiled one is not compared, for it rounds otherwise.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        noise: Noise,
        modules: Sequence[nn.Module] = (),
        compiled: bool = False,
        warn: Callable[[str], None] = lambda text: None,
        after: int = 0,
        state: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.function, self.noise, self.modules, self.compiled, self.warn = function, noise, modules, compiled, warn
        self.state = state
        self.plain_calls: float = after
        self.called = False
        self.checks = 0 if compiled else CHECKS  # a compiled one rounds otherwise
        self.requests: list[tuple[torch.Size, torch.dtype]] = []
        self.replay: Callable[..., Any] | None = None

    def __call__(self, *inputs: Tensor) -> Any:
        if self.plain_calls:
            self.plain_calls -= 1
            if self.plain_calls or not self.called:
                self.called = True
                return self.function(*inputs, self.noise)
            # The last plain call, which counts.
            result, reason = watched(lambda: self.function(*inputs, self.noise), self.modules)
            if reason:
                self._go_on_plainly(reason)
            return result
        if self.replay is None:
            remembered = _Remembered(self.modules)
            self.replay = self._record(inputs)
            remembered.restore()
            if self.replay is None:
                return self(*inputs)
        draws = [self.noise.uniform(*request) for request in self.requests]
        if self.checks:
            self.checks -= 1
            return self._checked(self.replay, inputs, draws)
        with torch.no_grad():  # the gradients are among the kernels
            return self.replay(*inputs, *draws)

    def _checked(self, replay: Callable[..., Any], inputs: Sequence[Tensor], draws: Sequence[Tensor]) -> Any:
        """What the function gives; from now on it is called itself if the replay gives anything else."""
        before = _Remembered(self.modules)
        try:
            with torch.no_grad():
                found = replay(*inputs, *draws)
            left = self._left()
            reason = "a replay gives other numbers: what changes from step to step has to be changed in place, in torch"
        except Exception as error:
            found, left, reason = (), [], _line(error)
        before.restore()
        expected = self.function(*inputs, _Given(draws, self.noise))
        if not (_alike(found, expected) and _alike(left, self._left())):
            self._go_on_plainly(reason)
        return expected

    def _left(self) -> list[Tensor]:
        """What stays from call to call: values, and where they are."""
        tensors = _tensors(self.modules) if self.state is None else list(self.state().values())
        places = torch.tensor([tensor.data_ptr() for tensor in tensors])
        return [places, *(tensor.detach().clone() for tensor in tensors)]

    def _go_on_plainly(self, reason: str) -> None:
        self.warn(f"{PLAINLY}: {reason}")
        self.plain_calls = math.inf

    def _record(self, inputs: Sequence[Tensor]) -> Callable[..., Any] | None:
        if not self.called:
            asked(self.function, inputs, self.noise)  # makes what a first call makes
        draws, reason = watched(lambda: asked(self.function, inputs, self.noise), self.modules)
        if reason:
            self._go_on_plainly(reason)
            return None
        self.requests = [(draw.shape, draw.dtype) for draw in draws]
        try:
            graph = kernels(self.function, inputs, draws)
            if self.compiled:
                with torch.no_grad():
                    graph(*inputs, *draws)  # what cannot be replayed cannot be compiled either
        except Exception as error:
            self._go_on_plainly(_line(error))
            return None
        if found := _depending(graph):
            self._go_on_plainly(
                f"the size of what {found} gives depends on numbers, which a recording has once; multiply by a mask"
            )
            return None
        if self.compiled:
            try:
                from torch import _inductor  # here, for it takes a second to import

                with torch.no_grad():
                    # torch.compile's back end itself: a recording needs no guards, which cost a tenth of a step.
                    own = GraphModule(graph, copy.deepcopy(graph.graph))  # which it may change
                    compiled = _inductor.compile(own, [*inputs, *draws])
                    compiled(*inputs, *draws)
                return compiled  # type: ignore[no-any-return]
            except Exception as error:
                self.warn(f"the step could not be compiled, and goes on without: {_line(error)}")
        return graph.forward  # type: ignore[no-any-return]


def _depending(graph: GraphModule) -> str:
    """A kernel whose result has as many elements as a condition holds for, such as ``nonzero``; else empty."""
    for node in graph.graph.nodes:
        if torch.Tag.dynamic_output_shape not in getattr(node.target, "tags", ()):
            continue
        places = node.args[1] if node.target is torch.ops.aten.index.Tensor else None
        if places is None or any(each is not None and each.meta["tensor_meta"].dtype in MASKS for each in places):
            return str(node.target)
    return ""


class _Remembered:
    """The tensors of modules, and their values at one time."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        every = [module for root in modules for module in root.modules()]
        self.buffers = [(module, dict(module._buffers)) for module in every]
        self.values = [(tensor, tensor.detach().clone()) for tensor in _tensors(modules)]

    def restore(self) -> None:
        """Put tensors and values back."""
        for module, own in self.buffers:
            module._buffers.update(own)
        with torch.no_grad():
            for tensor, value in self.values:
                tensor.copy_(value)


def _tensors(modules: Sequence[nn.Module]) -> list[Tensor]:
    return [each for root in modules for each in (*root.parameters(), *root.buffers())]


def _alike(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(some) == len(others) and all(map(_same, some, others))


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether they have the same numbers; one that is none equals another."""
    if one.is_floating_point():
        return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
    return one.equal(other)


class Graphed:
    """A step without inputs or results on a CUDA device, captured as a CUDA graph after a few plain calls.

    If these change what only Python knows of ``modules``, ``warn`` is told so, and no call is captured.
    """

    def __init__(
        self,
        step: Callable[[], None],
        generators: Sequence[torch.Generator],
        device: torch.device,
        modules: Sequence[nn.Module] = (),
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.step, self.generators, self.device, self.modules, self.warn = step, generators, device, modules, warn
        self.plain = False
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.calls = 0
        self.graph = torch.cuda.CUDAGraph()

    def __call__(self) -> None:
        if self.plain:
            self.step()
            return
        if self.calls <= WARM_UP:
            with torch.cuda.device(self.device):
                _, reason = watched(self._prepare, self.modules)
            if reason and self.calls == WARM_UP - 1:  # the last plain call; a first one makes what is there later
                self.warn(f"{PLAINLY}: {reason}")
                self.plain = True
        if self.calls >= WARM_UP:
            self.graph.replay()
        self.calls += 1

    def _prepare(self) -> None:
        """Take a step on the stream of the capture, or capture one, which does not run it."""
        if self.calls < WARM_UP:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.step()
            torch.cuda.current_stream().wait_stream(self.stream)
            return
        for generator in self.generators:
            self.graph.register_generator_state(generator)
        gc.collect()  # an older graph that is freed within the capture would break it
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.step()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
