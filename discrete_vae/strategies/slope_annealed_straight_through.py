"""Slope-annealed straight-through: the backward pass sharpens as training goes on.

J. Chung, S. Ahn, Y. Bengio: Hierarchical Multiscale Recurrent Neural Networks. ICLR 2017, arXiv 1609.01704.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from discrete_vae.schedules import Schedule
from discrete_vae.strategies.pathwise import TemperatureOptions
from discrete_vae.strategies.straight_through import StraightThrough


@dataclass(frozen=True)
class SlopeAnnealedOptions(TemperatureOptions):
    """Hyper-parameters of slope annealing."""

    temperature: Schedule = Schedule(1.0, decay=0.961538, minimum=0.2)
    """One over the slope, which is multiplied by 1.04 an epoch up to 5; that of Chung et al. grows linearly."""


class SlopeAnnealedStraightThrough(StraightThrough):
    """Straight-through whose backward slope grows, towards the sample's own step."""

    claim = replace(StraightThrough.claim, paper="Chung et al. 2017")
    Options = SlopeAnnealedOptions
