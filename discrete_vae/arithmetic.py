"""How a CUDA device rounds; a CPU knows neither TF32 nor cuDNN.

Torch's own choice is another: convolutions in TF32, whatever is asked of products, and cuDNN's kernels that add up in
an order of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, get_args

import torch

from discrete_vae.errors import nearest

Precision = Literal["float32", "tf32", "bfloat16"]


@contextlib.contextmanager
def arithmetic(precision: Precision = "float32") -> Iterator[None]:
    """Compute as ``use_arithmetic`` says for as long as the context lasts. It holds for all threads of the process."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic, convolutions.benchmark
    use_arithmetic(precision)
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic, convolutions.benchmark = before


def use_arithmetic(precision: Precision = "float32") -> None:
    """Compute products and convolutions in TF32 if asked to, otherwise in float32, and with the same bits each time.

    bfloat16 is asked for elsewhere, by ``torch.autocast``: here it is float32, which the rest is computed in.
    Raises ``InputError`` for a precision that is not known.
    """
    if precision not in get_args(Precision):
        raise nearest(precision, get_args(Precision), "precision")
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
    convolutions.deterministic, convolutions.benchmark = True, False
