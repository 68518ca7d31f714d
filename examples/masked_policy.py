"""A policy with illegal actions: it sends four jobs to three machines that cannot do all jobs; one line is replaced."""

import torch
from torch import Tensor, nn

from discrete_vae.latents.categorical import entropy
from discrete_vae.strategies import Rloo

torch.manual_seed(0)
JOBS, MACHINES = 4, 3


def makespan(machines: Tensor) -> Tensor:
    """A black box: the machine of each job ``[..., B, JOBS]`` -> hours until all are done ``[..., B]``.

    A job on a machine that cannot do it never ends.
    """
    load = torch.zeros(*machines.shape[:-1], MACHINES).scatter_add(-1, machines, hours.expand(machines.shape))
    possible = legal.expand(*machines.shape, MACHINES).gather(-1, machines[..., None])[..., 0].all(-1)
    return load.amax(-1).where(possible, torch.inf)


# 32 days: hours of each job [B, JOBS], where it may go [B, JOBS, MACHINES], and the shortest makespan [B] of all plans.
hours, legal = torch.rand(32, JOBS) + 0.5, torch.rand(32, JOBS, MACHINES) < 0.6
legal[:, :, 0] |= ~legal.any(-1)
plans = torch.cartesian_prod(*[torch.arange(MACHINES)] * JOBS)  # [81, JOBS]
shortest = makespan(plans[:, None].expand(-1, 32, -1)).amin(0)


def regret(z: Tensor) -> Tensor:
    """One-hot machines ``[B, JOBS, MACHINES]`` -> hours lost ``[B]``; no gradient passes argmax."""
    return makespan(z.argmax(-1)) - shortest


policy = nn.Sequential(nn.Linear(JOBS + JOBS * MACHINES, 128), nn.ReLU(), nn.Linear(128, JOBS * MACHINES))
adam = torch.optim.Adam(policy.parameters(), 1e-2)
strategy = Rloo(draws=4)
for step in range(201):
    logits = policy(torch.cat([hours, legal.flatten(1)], 1)).view(-1, JOBS, MACHINES)
    logits = logits.masked_fill(~legal, -torch.inf)
    # The replaced line was, with actions from q = Categorical(logits=logits) and their one-hot z:
    #   loss = (q.log_prob(actions).sum(-1) * (regret(z) - baseline)).mean()
    estimate = strategy.estimate(logits, regret)
    loss = estimate.loss.mean() - 0.05 * 0.98**step * entropy(logits).sum(-1).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    if step % 50 == 0:
        illegal = (estimate.sample * ~legal).sum().int().item()
        print(f"step {step}: {estimate.loss.mean().item():.3f} hours, {illegal} illegal actions")
