"""The rotation trick: VQ-VAE's gradient turns with the vector that is quantised.

C. Fifty, R. G. Junkins, D. Duan, A. Iyengar, J. W. Liu, E. Amid, S. Thrun, C. Re: Restructuring Vector Quantization
with the Rotation Trick. ICLR 2025, arXiv 2410.06424 (2024).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.vq_vae import VqVae

SMALLEST = 1e-6
"""Least norm that a vector is divided by: an encoder's vector of 0 has no direction to turn from."""


class RotatedVqVae(VqVae):
    """Forward the nearest vector c, backward ``|c| / |e| R e``, with the rotation R of e onto c held constant.

    ``R = I - 2 r r^T + 2 c' e'^T`` with directions ``e'``, ``c'`` and ``r`` that of ``e' + c'`` (Fifty et al. 2024).
    So the gradient has the same angle to e as it had to the code.
    """

    claim = Claim("Fifty et al. 2024; van den Oord et al. 2017", unbiased=False, relaxed=False, evaluations=1)

    def through(self, logits: Tensor, code: Tensor) -> Tensor:
        fixed = logits.detach()
        start, end = (F.normalize(each, dim=-1, eps=SMALLEST) for each in (fixed, code))
        middle = F.normalize(start + end, dim=-1, eps=SMALLEST)

        def component(direction: Tensor) -> Tensor:
            return (direction * logits).sum(-1, keepdim=True)

        rotated = logits - 2 * middle * component(middle) + 2 * end * component(start)
        scale: Tensor = code.norm(dim=-1, keepdim=True) / fixed.norm(dim=-1, keepdim=True).clamp_min(SMALLEST)
        return scale * rotated
