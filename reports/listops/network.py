"""A latent tree: each symbol chooses an operator to its left, and messages go up the chosen tree.

In a prefix expression every symbol belongs to an operator to its left. So a tree is one categorical variable a symbol,
whose masked logits let no cycle pass: each sample is a tree.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.strategies import Objective
from reports.listops.grammar import DIGITS, END, PAD, VOCABULARY, Examples


def possible(batch: Examples) -> Tensor:
    """Which operators each symbol may belong to, ``[B, T, K]``: those to its left.

    The first symbol, and what fills up, have one choice, the first operator.
    """
    places = torch.arange(batch.symbols.shape[1], device=batch.symbols.device)
    found = (batch.operators[:, None] >= 0) & (batch.operators[:, None] < places[:, None])
    found[..., 0] = True
    return found & ((batch.symbols != PAD)[..., None] | (torch.arange(found.shape[-1]) == 0))


class Parser(nn.Module):
    """A bidirectional LSTM, and scores of pairs of symbols by products of its outputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), width)
        self.reader = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.child, self.head = nn.Linear(2 * width, width), nn.Linear(2 * width, width)

    def forward(self, batch: Examples) -> Tensor:
        """The logits of each symbol's operator ``[B, T, K]``; -inf masks what it cannot be."""
        read, _ = self.reader(self.embedding(batch.symbols))  # [B, T, 2 width]
        children, heads = self.child(read), self.head(at(read, batch.operators))
        scores: Tensor = children @ heads.transpose(-2, -1) / children.shape[-1] ** 0.5
        return scores.masked_fill(~possible(batch), -torch.inf)


def at(rows: Tensor, places: Tensor) -> Tensor:
    """The rows ``[..., B, T, D]`` at places ``[B, K]``: ``[..., B, K, D]``; for a place of -1, the first."""
    wanted = places.clamp_min(0)[..., None].expand(*rows.shape[:-2], places.shape[-1], rows.shape[-1])
    return rows.gather(-2, wanted)


class Composer(nn.Module):
    """Operators process the sum of their children's messages, once for each level of the trees."""

    def __init__(self, width: int, rounds: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), width)
        self.message = nn.Linear(width, width)
        self.own, self.inside, self.update = (
            nn.Linear(width, 2 * width),
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
        )
        self.value = nn.Linear(width, DIGITS)
        self.rounds = rounds

    def forward(self, batch: Examples, heads: Tensor) -> Tensor:
        """Operators of symbols ``[..., B, T, K]``, one-hot or relaxed -> the logits of the value ``[..., B, 10]``."""
        embedded = self.embedding(batch.symbols)  # [B, T, width]
        leaves = (batch.symbols < DIGITS) | (batch.symbols == END)
        sent = heads.transpose(-2, -1) @ (self.message(embedded) * leaves[..., None])  # [..., B, K, width]
        inner = (batch.operators > 0)[..., None]  # the first one, and what fills up, belong to none
        arcs = (at(heads, batch.operators) * inner).transpose(-2, -1)  # [..., B, head, child]
        own = self.own(at(embedded, batch.operators))  # [B, K, 2 width]
        state = self.update(F.relu(own + self.inside(sent)))
        for _ in range(self.rounds - 1):
            state = self.update(F.relu(own + self.inside(sent + arcs @ self.message(state))))
        values: Tensor = self.value(state[..., 0, :])
        return values


def objective(composer: Composer, batch: Examples) -> Objective:
    """The cross-entropy of a tree's value in nats, ``[..., B]``."""

    def loss(output: Tensor) -> Tensor:
        return -output.log_softmax(-1).gather(-1, batch.values.expand(output.shape[:-1])[..., None]).squeeze(-1)

    def curvature(output: Tensor) -> Tensor:
        return output.softmax(-1) * (1 - output.softmax(-1))

    return Objective(lambda heads: composer(batch, heads), loss, curvature=curvature)
