"""Measures what a strategy's claim and the interface promise: ``python -m discrete_vae.conformance --help``.

- ``problem``: a problem that is small enough for its exact gradient.
- ``figures``: bias, direction, length, variance and cost on it, beside the claim.
- ``capabilities``: second derivatives, masks, NaN, layouts, half precision, torch.func and torch.compile.
"""
