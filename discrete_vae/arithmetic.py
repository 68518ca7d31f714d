"""How a CUDA device rounds, for as long as a context lasts; a CPU knows neither TF32 nor cuDNN."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def arithmetic(precision: str = "float32") -> Iterator[None]:
    """Compute in float32, or in TF32 if ``precision`` is ``"tf32"``, with the same bits each time.

    Torch's own choice is another: convolutions in TF32, whatever is asked of products, and cuDNN's kernels that add up
    in an order of their own.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic, convolutions.benchmark
    products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
    convolutions.deterministic, convolutions.benchmark = True, False
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic, convolutions.benchmark = before
