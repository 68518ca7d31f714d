"""Hyper-parameters of strategies: numbers, or one number a member or an example, checked where they are set."""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.errors import LARGEST, InputError
from discrete_vae.schedules import Schedule

TINY = torch.finfo(torch.float32).tiny


def hyperparameter(name: str, value: float | Tensor, minimum: float = TINY) -> Tensor:
    """A hyper-parameter as a tensor, a number in float32; raises ``InputError`` for what is not finite or too small.

    A tensor within a compiled or mapped function cannot be checked, and is taken as it is.
    """
    if isinstance(value, Schedule):
        raise InputError(f"{name} is a schedule, {value}; set its value at a time, schedule.at(time)")
    remedy = f"give a finite number {'above' if minimum else 'of at least'} 0"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not minimum <= value <= LARGEST:
            raise InputError(f"{name} is {value}; {remedy}")
        return torch.full((), value, dtype=torch.float32)  # which does not compile anew for every number
    exact = value.dtype if isinstance(value, Tensor) and value.is_floating_point() else torch.float32
    try:
        tensor = torch.as_tensor(value, dtype=exact)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} is {value!r}; give a number, or a tensor of one an example") from None
    if isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; give a number")
    if _readable(tensor) and not bool(((tensor >= minimum) & tensor.isfinite()).all()):
        raise InputError(f"{name} is {value}; {remedy}")
    return tensor


def _readable(tensor: Tensor) -> bool:
    """Whether its values can be read."""
    if torch.compiler.is_compiling():
        return False
    try:
        bool(tensor.isfinite().all())
    except RuntimeError:  # mapped by torch.func.vmap
        return False
    return True


def per_member(value: Tensor, like: Tensor) -> Tensor:
    """A number ``[]`` or one a member ``[P]``, shaped to broadcast against ``like`` ``[P, ...]``, in its dtype.

    Raises ``InputError`` for a shape that does not fit the first dimensions of ``like``.
    """
    fits = value.dim() <= like.dim() and all(
        size in (1, wanted) for size, wanted in zip(value.shape, like.shape, strict=False)
    )
    if not fits:
        raise InputError(
            f"a hyper-parameter has shape {list(value.shape)}; give one number, or one for each of the first "
            f"dimension, {list(like.shape[:1])}"
        )
    return value.to(like.dtype).reshape(value.shape + (1,) * (like.dim() - value.dim()))
