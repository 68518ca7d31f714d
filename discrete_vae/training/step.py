"""A population in training: one step of every member at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from discrete_vae import schedules
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population, fill, member_of
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import checkpoints
from discrete_vae.runs.run import Run
from discrete_vae.tasks import AdversarialTask
from discrete_vae.training.capture import RECORD_AFTER, Graphed, Recorded
from discrete_vae.training.game import Game
from discrete_vae.training.optimiser import OPTIMISERS, decay, descent, weights_of

LOOK_EVERY = 25
"""Steps between two looks at the losses: for the progress display and for those that are not finite."""


class Trainer:
    """A population in training: model, optimisers, and where in the data and the noise it stands."""

    def __init__(
        self,
        runs: Sequence[Run],
        data: Dataset,
        device: torch.device,
        compiled: bool = False,
        warn: Callable[[str], None] = lambda text: None,
        record_after: int = RECORD_AFTER,
    ) -> None:
        configs = [run.config for run in runs]
        self.runs, self.data, self.device, self.compiled, self.warn = runs, data, device, compiled, warn
        self.record_after = 0 if compiled else record_after  # no step of a compiled run has other bits
        self.config = configs[0]
        self.steps_per_epoch = runs[0].steps_per_epoch
        self.population = Population.build(configs, device)
        self.model, self.strategy = self.population.model, self.population.strategy
        self.modules = self.population.model, self.population.strategies
        self.model.setup(data.train, self.config, [config.seed for config in configs])
        self.of_bound = self.config.objective == "bound" and self.config.samples > 1
        self.loss_includes_kl = self.of_bound or self.strategy.loss_includes_kl
        # Adam fits whatever scale such losses have
        together = any(each.uses_model_optimiser for each in self.population.target_strategies)
        own = self.config.optimiser if together else "adam"
        self.optimisers = [
            OPTIMISERS[name](parameters, len(runs), schedules.alike(rates, [config.epochs for config in configs]))
            for name, parameters, rates in (
                (self.config.optimiser, self.model.own_parameters(), [config.learning_rate for config in configs]),
                (own, self.population.strategies.parameters(), [config.auxiliary_learning_rate for config in configs]),
            )
        ]
        decays = any(config.weight_decay.initial or config.weight_decay.minimum for config in configs)
        # A mirror takes its layers' own steps, so it needs their weight decay, too.
        own_weights = weights_of(self.population.strategies) if together else []
        trained = {id(parameter) for parameter in self.optimisers[0].parameters}
        self.decayed = (
            [[each for each in weights_of(self.model) if id(each) in trained], own_weights] if decays else [[], []]
        )
        self.parameters = [parameter for each in self.optimisers for parameter in each.parameters]
        self.step = 0
        self.generators = [torch.Generator(device) for _ in runs]
        self.noise = Noise(self.generators, device)

        # All that a step reads and writes has its place for good, so that a captured step finds it.
        members, size = len(runs), self.config.step_size
        self.values = self.population.schedules(0, self.steps_per_epoch, self.steps_per_epoch).to(device)
        self.order = torch.zeros(self.steps_per_epoch, members, size, dtype=torch.int64, device=device)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self.sums = torch.zeros(members, 3, device=device)
        self.alive = torch.ones(members, dtype=torch.bool, device=device)
        self.good = torch.zeros(members, dtype=torch.int64, device=device)

        self.differentiate = self._captured(self.gradients)
        self.game = (
            Game(self.model, self.population, self._captured) if isinstance(self.model, AdversarialTask) else None
        )
        self.advance = self._update
        if device.type == "cuda" and self.strategy.recordable:
            self.advance = Graphed(self._update, self.generators, device, self.modules, warn)

    def _captured(self, function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
        """A function of tensors and the noise, without its noise and maybe recorded."""
        if self.strategy.recordable and (self.device.type == "cpu" or self.compiled):
            state = self.population.state
            return Recorded(function, self.noise, self.modules, self.compiled, self.warn, self.record_after, state)
        return partial(function, noise=self.noise)

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, from 0."""
        return self.step // self.steps_per_epoch

    def train_epoch(self, look: Callable[[], bool]) -> None:
        """Train to the end of the epoch; ``look`` is called every few steps and stops it by returning False."""
        self.begin_epoch()
        for _ in range(self.steps_per_epoch - self.step % self.steps_per_epoch):
            self.advance()
            self.step += 1
            if self.step % LOOK_EVERY == 0 and not look():
                return

    def begin_epoch(self) -> None:
        """Put the epoch's data order, schedules and noise in place."""
        offset = self.step % self.steps_per_epoch
        if offset == 0:
            self.sums.zero_()
            if self.game:
                self.game.sums.zero_()
            for generator, run in zip(self.generators, self.runs, strict=True):
                generator.manual_seed(seeded(run.config.seed, "noise", self.epoch).initial_seed())
        self.position.fill_(offset)
        self.good.fill_(offset)
        for p, run in enumerate(self.runs):
            order = torch.randperm(len(self.data.train), generator=seeded(run.config.seed, "order", self.epoch))
            self.order[:, p] = order[: self.order[:, p].numel()].view(self.order[:, p].shape)
        self.values.copy_(self.population.schedules(self.step - offset, self.steps_per_epoch, self.steps_per_epoch))
        if self.step == 0 and any(each.warmup for each in self.population.target_strategies):
            self._prepare()

    def _prepare(self) -> None:
        """Let the strategy get ready on the first batch, by noise of its own."""

        def generators(stream: str) -> list[torch.Generator]:
            return [seeded(run.config.seed, "preparation", stream, device=self.device) for run in self.runs]

        self.population.follow(self.values[0])
        observation = self.model.train_batch(self.data.train, self.order[0], generators("images"))
        if self.game:
            observation = self.game.model.critic_batches(observation)[1]
        noise = Noise(generators("noise"), self.device)
        with torch.no_grad():
            parameters = self.model.encode(observation)
        layers = self.model.sample_layers(observation, parameters, self.values[0, 0], noise)
        for strategy, (logits, objective) in zip(self.population.target_strategies, layers, strict=True):
            strategy.prepare(logits, objective, noise, descent(strategy.parameters(), self.values[0, 2]))

    def _update(self) -> None:
        """One step of gradient descent, at the epoch's step that ``position`` counts."""
        order, values = (table.index_select(0, self.position).squeeze(0) for table in (self.order, self.values))
        observation = self.model.train_batch(self.data.train, order, self.generators)
        if self.game:
            rounds, observation = self.game.model.critic_batches(observation)
            self.game.update(rounds, values, self.alive)
        statistics, finite, *gradients = self.differentiate(observation, values)
        for optimiser, rates, weights in zip(self.optimisers, values[1:3], self.decayed, strict=True):
            decay(weights, rates * values[3])
            optimiser.step([gradients.pop(0) for _ in optimiser.parameters], rates)
        self.sums += statistics
        self.alive &= finite
        self.good += self.alive
        self.position += 1

    def gradients(self, observation: Tensor, values: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        """Loss, reconstruction and KL ``[P, 3]`` of a batch ``[P, B, D]``, whether finite ``[P]``, and gradients."""
        self.population.follow(values)
        with self.population.precision():
            parameters = self.model.encode(observation)
            if self.of_bound:
                samples = self.config.samples
                estimate = self.model.estimate_bound(self.strategy, observation, parameters, values[0], noise, samples)
            else:
                logits, images = parameters, observation
                if (samples := self.config.samples) > 1:  # further images to the strategy, but not to the encoder
                    logits, images = parameters.repeat(1, samples, 1, 1), observation.repeat(1, samples, 1)
                estimate = self.model.estimate(self.population.layer_strategies, images, logits, values[0], noise)
            kl = self.model.kl(parameters).mean(-1)
        reconstruction = estimate.loss.mean(-1)
        loss = reconstruction + (0 if self.loss_includes_kl else values[0] * kl)  # [P]
        total = loss + estimate.strategy_loss  # whose sum keeps the members' gradients apart
        gradients = torch.autograd.grad(total.sum(), self.parameters, materialize_grads=True)
        statistics = torch.stack([loss, reconstruction, kl], -1).detach()
        return statistics, total.detach().isfinite(), *gradients

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint holds, ``[P, ...]`` each."""
        state = self.population.state()
        optimisers = dict(zip(("model", "strategy"), self.optimisers, strict=True))
        if self.game:
            optimisers["critic"] = self.game.optimiser
        for which, optimiser in optimisers.items():
            for name, tensors in optimiser.state().items():
                state |= {f"{optimiser.name}.{which}.{i}.{name}": each for i, each in enumerate(tensors)}
        state["sums"] = self.sums
        return state | {"critic_sums": self.game.sums} if self.game else state

    def save(self) -> None:
        """Write a checkpoint of every member that is finite, in its losses and in its parameters."""
        state = self.state()
        flat = (tensor.view(len(self.runs), -1) for tensor in state.values())
        self.alive &= torch.stack([tensor.isfinite().all(1) for tensor in flat]).all(0)
        on_host = {name: tensor.cpu() for name, tensor in state.items()}
        for p in self.healthy():
            run = self.runs[p]
            tensors = member_of(on_host, p)
            tensors["noise"] = self.generators[p].get_state()
            checkpoints.write(run.folder, self.step, run.config.identity, tensors)

    def load(self, step: int) -> None:
        """Go back to the members' checkpoints of a step.

        Raises ``InputError`` for one that does not fit, and for one in the middle of an epoch from another kind of
        device: its noise is of no use.
        """
        members = [checkpoints.read(run.folder, step, run.config.identity) for run in self.runs]
        expected = member_of(self.state(), 0)
        for run, generator, found in zip(self.runs, self.generators, members, strict=True):
            path, noise = checkpoints.path_of(run.folder, step), generator.get_state()
            rest = {name: tensor for name, tensor in found.items() if name != "noise"}
            checkpoints.check_tensors(path, rest, expected)
            kept = found.get("noise", torch.empty(()))
            if kept.dtype == noise.dtype and kept.dim() == 1 and kept.shape != noise.shape:
                if step % self.steps_per_epoch == 0:  # each epoch begins with fresh generators
                    continue
                raise InputError(
                    f"{run.folder} was stopped in mid-epoch on another kind of device than {self.device}; "
                    "resume it with the --device that it was started with"
                )
            checkpoints.check_tensors(path, {"noise": kept} if "noise" in found else {}, {"noise": noise})
            try:
                generator.set_state(kept)
            except RuntimeError as error:
                raise InputError(
                    f"checkpoint {path} does not fit its run: 'noise' is no state of a generator; {checkpoints.REMEDY}"
                ) from error
        self._go_to(step, members)

    def keep(self, members: Sequence[int]) -> Trainer:
        """The training of these members alone, from the end of an epoch on."""
        runs = [self.runs[p] for p in members]
        rest = Trainer(runs, self.data, self.device, self.compiled, self.warn, self.record_after)
        rest._go_to(self.step, [member_of(self.state(), p) for p in members])
        return rest

    def _go_to(self, step: int, members: Sequence[Mapping[str, Tensor]]) -> None:
        fill(self.state(), members)
        self.step = step
        for optimiser in self.optimisers:
            optimiser.set_step(step)
        if self.game:
            self.game.optimiser.set_step(step * self.game.updates)

    def healthy(self) -> list[int]:
        """Members whose losses were all finite."""
        return [p for p, alive in enumerate(self.alive.tolist()) if alive]

    def failed(self) -> dict[int, int]:
        """The other members, and the step at which each failed."""
        first = (self.step - 1) // self.steps_per_epoch * self.steps_per_epoch
        good, healthy = self.good.tolist(), self.healthy()
        return {p: first + good[p] for p in range(len(self.runs)) if p not in healthy}

    def means(self) -> tuple[list[float], list[float], list[float]]:
        """Loss, reconstruction loss and KL of each member, averaged over the epoch's steps so far."""
        steps = (self.step - 1) % self.steps_per_epoch + 1
        loss, reconstruction, kl = (self.sums.T / steps).tolist()
        return loss, reconstruction, kl

    def criticism(self) -> dict[str, list[float]]:
        """The critic's loss and distance of each member, averaged likewise; nothing where there is no critic."""
        return self.game.means((self.step - 1) % self.steps_per_epoch + 1) if self.game else {}
