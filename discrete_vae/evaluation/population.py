"""P runs as one stacked model: the basis of training and evaluation."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from discrete_vae import backbones, schedules
from discrete_vae.config.config import Config
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded
from discrete_vae.runs import checkpoints
from discrete_vae.runs.run import Run
from discrete_vae.strategies import Strategy, TargetStrategy
from discrete_vae.tasks import TASKS, Task
from discrete_vae.tasks.base import Blueprint

SCHEDULED = ("beta", "learning_rate", "auxiliary_learning_rate", "weight_decay")
"""The training loop's own schedules; a strategy's come after them."""

TRAINING = re.compile(r"(adam|adam-0-0\.9|adam-0\.5-0\.9|sgd)\.(model|strategy|critic)\.\d+\.\w+|(critic_)?sums|noise")
"""Names of what a checkpoint has for training alone."""


@dataclass(frozen=True)
class Population:
    """Every tensor in it has a leading dimension P, in the order of ``configs``."""

    configs: Sequence[Config]
    model: Task
    strategies: nn.ModuleList
    """A strategy for each stochastic layer, from the image inwards, all of one kind and with the same options."""

    @classmethod
    def build(cls, configs: Sequence[Config], device: torch.device) -> Population:
        """Fresh members, each with the initial weights of its own seed.

        Raises ``InputError`` if they differ in more than seeds, schedules and epochs.
        """
        config = configs[0]
        if len({member.population_key for member in configs}) > 1:
            raise InputError(
                "runs of one population may differ in seeds, schedules and epochs only; train the others apart"
            )

        def generators(stream: str) -> list[torch.Generator]:
            return [seeded(member.seed, stream) for member in configs]

        architecture, task, kind = config.architecture, TASKS[config.task], config.strategy_class
        config.require_of(backbones.backbone(architecture.backbone))
        domain = config.data.domain
        family = kind.latent_family(*task.variables(architecture, domain))
        image = domain.shape or Shape(1, domain.size)
        model = task(Blueprint(architecture, family, image, config.pixels), generators("weights"))
        strategies = nn.ModuleList(
            kind.build(config.options, model.networks(layer, generators)) for layer in range(architecture.layers)
        )
        population = cls(configs, model.to(device), strategies.to(device))
        for name, tensor in population.state().items():
            if tensor.shape[:1] != (len(configs),):
                raise InputError(
                    f"{name} of {config.strategy} has shape {list(tensor.shape)}; parameters and buffers of a strategy "
                    f"have a leading axis for the runs that train side by side, here {len(configs)}: see build, which "
                    "is given networks.members"
                )
        if any(each.local for each in population.target_strategies):
            model.cut()
        return population

    @classmethod
    def load(cls, runs: Sequence[Run], device: torch.device) -> Population:
        """The runs as their newest checkpoints have them, or, of those that keep it, their best epochs.

        Raises ``InputError`` for a run that has none, or one that does not fit.
        """
        population = cls.build([run.config for run in runs], device)
        places: dict[Run, tuple[str, int]] = {}
        for run in runs:
            places[run] = run.weights_at
            run.check_network()
        state = population.state()

        def read(run: Run) -> dict[str, Tensor]:
            kind, step = places[run]
            tensors = checkpoints.read(run.folder, step, run.config.identity, kind)
            own = {name: tensor for name, tensor in tensors.items() if not TRAINING.fullmatch(name)}
            checkpoints.check_tensors(checkpoints.path_of(run.folder, step, kind), own, member_of(state, 0))
            return own

        # One at a time: a checkpoint is three times as large as what is taken from it.
        fill(state, (read(run) for run in runs))
        values = [
            replace(population, configs=[run.config]).schedules(places[run][1], 1, run.steps_per_epoch)[0]
            for run in runs
        ]
        population.follow(torch.cat(values, -1).to(device))
        return population

    def follow(self, values: Tensor) -> None:
        """Set the strategies' scheduled hyper-parameters from one step's row ``[V, P]`` of ``schedules``."""
        for strategy in self.layer_strategies:
            strategy.follow(dict(zip(strategy.scheduled(), values[len(SCHEDULED) :], strict=True)))

    @property
    def layer_strategies(self) -> list[Strategy]:
        """The strategies, one a stochastic layer."""
        return list(self.strategies)  # type: ignore[arg-type]

    @property
    def target_strategies(self) -> list[TargetStrategy]:
        """The strategies where they give targets in place of gradients; otherwise none."""
        return [each for each in self.layer_strategies if isinstance(each, TargetStrategy)]

    @property
    def strategy(self) -> Strategy:
        """The first layer's strategy, which is of the kind of all."""
        return self.layer_strategies[0]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    def precision(self) -> torch.autocast:
        """The arithmetic of the matrix products, for as long as the context lasts."""
        # Without its cache: older torch kept weights that were first cast under no_grad, cut off from their gradient.
        bfloat16 = self.configs[0].precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False)

    def schedules(self, first_step: int, steps: int, steps_per_epoch: int) -> Tensor:
        """Scheduled hyper-parameters, those of the loop (``SCHEDULED``), then the strategy's: ``[steps, V, P]``."""
        columns = [[getattr(config, name) for config in self.configs] for name in SCHEDULED]
        columns += [[getattr(config.options, name) for config in self.configs] for name in self.strategy.scheduled()]
        totals = [config.epochs * steps_per_epoch for config in self.configs]
        return torch.stack(
            [schedules.table(column, first_step, steps, steps_per_epoch, totals) for column in columns], 1
        )

    def part(self, members: slice) -> Population:
        """Some of the members, in the same storage."""
        modules = self.model, self.strategies
        tensors = [each for module in modules for each in (*module.parameters(), *module.buffers())]
        own = {id(tensor): tensor.detach()[members] if tensor.dim() else tensor for tensor in tensors}
        own |= {id(tensor): nn.Parameter(own[id(tensor)]) for tensor in tensors if isinstance(tensor, nn.Parameter)}
        # A copy in which each tensor is replaced by its slice.
        return Population(self.configs[members], *copy.deepcopy(modules, own))

    def state(self) -> dict[str, Tensor]:
        """Parameters and unscheduled buffers of model and strategy by name: ``[P, ...]``, not copies.

        A tensor in two places, a tied weight, has the name of the first.
        """
        modules: dict[str, nn.Module] = {"model": self.model}
        modules |= {f"strategy{layer or ''}": strategy for layer, strategy in enumerate(self.layer_strategies)}
        scheduled = self.strategy.scheduled()
        first: dict[int, str] = {}
        return {
            f"{prefix}.{name}": tensor.detach()
            for prefix, module in modules.items()
            for name, tensor in module.state_dict(keep_vars=True).items()  # tied ones share an id
            if name not in scheduled and first.setdefault(id(tensor), f"{prefix}.{name}") == f"{prefix}.{name}"
        }


def member_of(state: Mapping[str, Tensor], p: int) -> dict[str, Tensor]:
    """One member's tensors of a state ``[P, ...]``, not copies."""
    return {name: tensor[p] for name, tensor in state.items()}


def fill(state: Mapping[str, Tensor], members: Iterable[Mapping[str, Tensor]]) -> None:
    """Copy the members' tensors into the tensors ``[P, ...]`` of the same names, one member after the other."""
    with torch.no_grad():
        for p, member in enumerate(members):
            for name, tensor in state.items():
                tensor[p].copy_(member[name])
