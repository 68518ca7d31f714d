"""What a report is told to cost: a step as most are, and not as the first ones."""

from __future__ import annotations

import pytest
import torch

from discrete_vae.config import Config
from discrete_vae.data import DataConfig, load
from discrete_vae.training.capture import WARM_UP
from reports.kit import cost

DATA = DataConfig("binarised-mnist-1000")


class Clock:
    """Time that passes by steps alone: the first ones are slow, the others take ``seconds``."""

    def __init__(self, seconds: float, slow: int) -> None:
        self.seconds, self.slow = seconds, slow
        self.now, self.steps = 0.0, 0

    def step(self) -> None:
        self.now += 1000.0 if self.steps < self.slow else self.seconds
        self.steps += 1


@pytest.mark.parametrize(("seconds", "counted"), [(0.25, 3), (7.0, 1)])
def test_a_recorded_step_is_not_timed(seconds: float, counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(seconds, slow=1)

    class Trainer:
        steps_per_epoch, step = 10, 0

        def __init__(self, *_: object, record_after: int) -> None: ...

        def begin_epoch(self) -> None: ...

        def advance(self) -> None:
            clock.step()

    monkeypatch.setattr(cost, "Trainer", Trainer)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock.now)
    assert cost.step_seconds(Config(data=DATA), load(DATA), torch.device("cpu")) == pytest.approx(seconds)
    assert clock.steps == cost.SETTLING["cpu"] + counted


def test_a_gpu_has_captured_before_it_is_timed() -> None:
    assert cost.SETTLING["cuda"] > WARM_UP


def test_measuring_shows_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    configs = [Config(data=DATA, epochs=1), Config("reinmax", data=DATA, epochs=1)]
    assert cost.seconds(configs, load, torch.device("cpu")) > 0
    assert "measuring a step of each kind of run" in capsys.readouterr().err
