"""Reweighted wake-sleep: the decoder climbs the multi-sample bound, the encoder fits the posterior's own samples.

J. Bornschein, Y. Bengio: Reweighted Wake-Sleep. ICLR 2015, arXiv 1406.2751.
T. A. Le, A. R. Kosiorek, N. Siddharth, Y. W. Teh, F. Wood: Revisiting Reweighted Wake-Sleep for Models with Stochastic
Control Flow. UAI 2019, arXiv 1805.10469.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from discrete_vae.errors import InputError, check_types
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.bound import bound
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.rloo import LeaveOneOutOptions
from discrete_vae.strategies.vimco import Vimco


@dataclass(frozen=True)
class ReweightedWakeSleepOptions(LeaveOneOutOptions):
    """Hyper-parameters of reweighted wake-sleep. Raises ``InputError`` for fewer than 2 samples."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.draws < 2:
            raise InputError(f"draws is {self.draws}; give at least 2, for a sample is weighed against the others")


class ReweightedWakeSleep(Vimco):
    """``-sum_s w~_s grad log q(z_s)`` with ``w~ = softmax(log w)``: it descends ``KL(p(z | x) || q)``.

    This is wake-wake (Le et al. 2019): the wake-phase update of the encoder, without the sleep phase, which would need
    observations drawn from the model. The loss is the multi-sample bound of ``Vimco``, from which the decoder learns.
    The estimate is not of the bound's gradient in the logits. It is consistent for the gradient of the inclusive KL and
    biased by the weights' normalisation, by O(1 / S). Raises ``InputError`` for fewer than 2 samples.
    """

    claim = Claim("Bornschein and Bengio 2015; Le et al. 2019", unbiased=False, relaxed=False, evaluations=4)
    Options = ReweightedWakeSleepOptions
    inclusive = True

    def __init__(self, draws: int = 4) -> None:
        super().__init__(ReweightedWakeSleepOptions(draws).draws)

    def losses(self, logits: Tensor, sample: Tensor, objective: Objective) -> Tensor:
        return super().losses(logits.detach(), sample, objective)  # the bound has no part in the encoder's gradient

    def combine(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        return bound(losses, 0), -(-losses).softmax(0)
