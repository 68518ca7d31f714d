"""Layer-local training: every layer of encoder and decoder has a target, and so a loss, of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import kl_term_gradient
from discrete_vae.strategies.target_propagation.feedback import LayerwiseFeedback, carry
from discrete_vae.strategies.target_propagation.geometries import Difference
from discrete_vae.strategies.target_propagation.inverses import Activations, DecodePass, NoiseScales


def local_losses(
    inverse: LayerwiseFeedback,
    decoded: DecodePass,
    difference: Difference,
    pull: Tensor,
    levels: NoiseScales,
    feedback_steps: int = 1,
) -> tuple[list[Tensor], Tensor]:
    """A loss ``[..., B]`` of value 0 for every hidden layer, decoder first, and that of the encoder's feedback.

    The gradient of each is its layer's own: the encoder's last layer learns from the pull, the decoder's from the
    objective. Raises ``InputError`` for networks through which gradients pass.
    """
    encoder, observation = decoded.model.encoder, decoded.model.observation
    assert decoded.flow is not None
    assert encoder is not None
    assert observation is not None
    if not encoder.cut or not decoded.flow.network.cut:
        raise InputError("layer-local training needs networks that are cut; see VAE.cut")
    taken, given = encoder.trace(observation.expand(*decoded.logits.shape[:-2], -1))
    above = list(encoder.layers)[1:]
    flow = Activations(encoder, above, taken[1:], given[1:], decoded.flow.samples)
    top = -(pull + kl_term_gradient(decoded.objective, decoded.logits) + decoded.own).flatten(-2)
    if not above:  # one layer, which the pull and the KL term train
        signals = [top]
    else:
        with torch.no_grad():
            signals, below = carry(above, inverse.weights("encoder"), flow.slopes(), top)
            signals = [below * encoder.slope(given[0]), *signals]
    hidden = zip([*decoded.flow.outputs[:-1], *given[:-1]], [*difference.layers[:-1], *signals[:-1]], strict=True)
    losses = [only_gradient(outputs, -signal, outputs.dim() - 1) for outputs, signal in hidden]
    if not above:
        return losses, top.new_zeros(top.shape[:-2])
    weights = inverse.weights("encoder")
    steps = [inverse.learn(weights, flow, signals[1:], levels) for _ in range(feedback_steps)]
    return losses, torch.stack(steps).mean(0)
