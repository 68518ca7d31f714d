"""What only Python knows of modules, and a captured step would freeze: counters, lists, other random numbers."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Result = TypeVar("Result")
TENSORS = {"_parameters", "_buffers", "_modules"}
"""Attributes of a module that hold its tensors."""
SAFE = {"discrete_vae", "torch"}
"""Packages whose classes hold nothing that changes, and whose modules no tensor from step to step but in buffers."""
RANDOM = "random numbers of `random`", "random numbers of numpy", "random numbers of torch's own generator"


def python_state(modules: Sequence[nn.Module]) -> dict[str, _Followed]:
    """By a name for people: the modules' attributes, as far as they are no tensors, and the random states of libraries.

    Attributes are followed into containers, objects, generators, and what functions (hooks) enclose. A tensor of a
    user's module that is neither parameter nor buffer counts by its identity and version: no replay replaces it. What
    cannot be followed, such as an open file, is left out, and so are a Python module's globals.
    """
    states = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state().tolist()
    found = {name: _Followed(state) for name, state in zip(RANDOM, states, strict=True)}
    for root in modules:
        for path, module in root.named_modules():
            where = f" ({path})" if path else ""
            kind, values = type(module), {k: v for k, v in vars(module).items() if k not in TENSORS}
            ours = kind.__module__.partition(".")[0] in SAFE
            found |= {f"{kind.__name__}.{name}{where}": _Followed(value, not ours) for name, value in values.items()}
            if not ours:
                of_class = vars(kind).items()
                found |= {f"{kind.__name__}.{name} (of the class)": _Followed(value) for name, value in of_class}
    return found


def watched(call: Callable[[], Result], modules: Sequence[nn.Module]) -> tuple[Result, str | None]:
    """What a call gives, and the reason why it cannot be captured, if it changes what only Python knows."""
    before = python_state(modules)
    result = call()
    return result, _changed(before, python_state(modules))


def _changed(before: dict[str, _Followed], after: dict[str, _Followed]) -> str | None:
    for name, state in after.items():
        if name not in before or state != before[name]:
            if name in RANDOM:
                return f"it draws {name}; take them from its noise, or each replay has others than Python"
            return (
                f"it changes {name}, which a replay does not; keep what changes from step to step in a buffer with a "
                "leading axis for the runs, and change it in place"
            )
    return None


class _Followed:
    """A value as bytes, with the objects that are known by identity, which live as long as this."""

    def __init__(self, value: Any, tensors: bool = True) -> None:
        self.known: list[Any] = []
        content = io.BytesIO()
        try:
            _Pickler(content, self.known, tensors).dump(value)
        except Exception:  # whatever a foreign object raises that cannot be pickled
            content = io.BytesIO()
        self.content = content.getvalue()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Followed) and self.content == other.content

    __hash__ = None  # type: ignore[assignment]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, known: list[Any], tensors: bool) -> None:
        super().__init__(file)
        self.known, self.tensors = known, tensors

    def persistent_id(self, value: Any) -> tuple[int, int] | None:
        if not isinstance(value, Tensor | nn.Module | type):
            return None
        if isinstance(value, Tensor) and not self.tensors:
            return 0, 0
        self.known.append(value)
        return id(value), value._version if isinstance(value, Tensor) else 0

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Generator):
            return tuple, (value.get_state().tolist(),)
        if not isinstance(value, FunctionType):
            return NotImplemented
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        self.known.append(value)
        return tuple, ((id(value), cells, value.__defaults__, value.__kwdefaults__, vars(value)),)
