"""P runs as one stacked model: what training and evaluation both stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from discrete_vae import checkpoints, schedules
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.noise import seeded
from discrete_vae.runs import Run
from discrete_vae.strategies import Strategy
from discrete_vae.tasks.vae import VAE, Encoder


@dataclass(frozen=True)
class Population:
    """Every tensor in it has a leading dimension P, in the order of ``configs``."""

    configs: Sequence[Config]
    model: VAE
    strategy: Strategy

    @classmethod
    def build(cls, configs: Sequence[Config], pixels: int, device: torch.device) -> Population:
        """Fresh members, each with the initial weights of its own seed.

        Raises ``InputError`` if they differ in more than seeds and schedules.
        """
        config = configs[0]
        if len({member.population_key for member in configs}) > 1:
            raise InputError("runs of one population may differ in seeds and schedules only; train the others apart")

        def generators(stream: str) -> list[torch.Generator]:
            return [seeded(member.seed, stream) for member in configs]

        architecture = config.architecture
        family = config.strategy_class.latent_family(architecture.latents, architecture.categories)
        model = VAE(architecture, family, pixels, generators("weights"))
        strategy = config.strategy_class.build(
            config.options, lambda: Encoder(architecture, family, pixels, generators("strategy weights"))
        )
        return cls(configs, model.to(device), strategy.to(device))

    @classmethod
    def load(cls, runs: Sequence[Run], pixels: int, device: torch.device) -> Population:
        """The runs as their newest checkpoints have them. Raises ``InputError`` for a run that has none."""
        population = cls.build([run.config for run in runs], pixels, device)
        for run in runs:
            if run.step == 0:
                raise InputError(f"{run.folder} has no checkpoint yet; train it first")
        fill(population.state(), [checkpoints.read(run.folder, run.step, run.config.identity) for run in runs])
        for name in population.strategy.scheduled():
            values = [
                schedules.table([getattr(run.config.options, name)], run.step, 1, run.steps_per_epoch) for run in runs
            ]
            population.strategy.follow({name: torch.cat(values).squeeze(1).to(device)})
        return population

    def schedules(self, first_step: int, steps: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """The strategy's scheduled hyper-parameters by name: ``[steps, P]``."""
        device = next(self.model.parameters()).device
        return {
            name: schedules.table(
                [getattr(config.options, name) for config in self.configs], first_step, steps, steps_per_epoch
            ).to(device)
            for name in self.strategy.scheduled()
        }

    def state(self) -> dict[str, Tensor]:
        """Parameters and unscheduled buffers of model and strategy by name: ``[P, ...]``, not copies."""
        modules: dict[str, nn.Module] = {"model": self.model, "strategy": self.strategy}
        scheduled = self.strategy.scheduled()
        return {
            f"{prefix}.{name}": tensor
            for prefix, module in modules.items()
            for name, tensor in module.state_dict().items()
            if name not in scheduled
        }


def fill(state: Mapping[str, Tensor], members: Sequence[Mapping[str, Tensor]]) -> None:
    """Copy the members' tensors, stacked, into the tensors ``[P, ...]`` of the same names."""
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(torch.stack([member[name] for member in members]))
