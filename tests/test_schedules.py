"""Every form of schedule against values worked by hand."""

import math
from typing import Any

import pytest

from discrete_vae.errors import InputError
from discrete_vae.schedules import Schedule, alike, table


def values(schedule: Schedule, steps: int, steps_per_epoch: int = 1, first: int = 0) -> list[float]:
    return table([schedule], first, steps, steps_per_epoch)[:, 0].tolist()


BY_HAND = {
    "constant": (Schedule(0.5), 2, [0.5, 0.5, 0.5, 0.5]),
    "decay once an epoch of 2 steps": (Schedule(1, decay=0.5), 2, [1, 1, 0.5, 0.5, 0.25, 0.25]),
    "decay every second epoch": (Schedule(1, decay=0.5, every=2), 2, [1, 1, 1, 1, 0.5, 0.5]),
    "decay every third step": (Schedule(1, decay=0.1, every=3, unit="step"), 100, [1, 1, 1, 0.1, 0.1, 0.1, 0.01]),
    "decay to a minimum": (Schedule(1, decay=0.5, minimum=0.3), 1, [1, 0.5, 0.3, 0.3]),
    "growth": (Schedule(1, decay=2), 1, [1, 2, 4, 8]),
    "warm-up from 0 over 2 epochs": (Schedule(1, warmup=2), 2, [0, 0.25, 0.5, 0.75, 1, 1]),
    "warm-up over 4 steps": (Schedule(2, unit="step", warmup=4), 100, [0, 0.5, 1, 1.5, 2, 2]),
    "warm-up over half an epoch": (Schedule(1, warmup=0.5), 4, [0, 0.5, 1, 1]),
    "warm-up times decay": (Schedule(1, decay=0.5, warmup=4), 1, [0, 0.125, 0.125, 0.09375, 0.0625]),
    "warm-up scales the minimum too": (Schedule(0.5, decay=0.1, minimum=0.4, warmup=2), 1, [0, 0.2, 0.4]),
}


@pytest.mark.parametrize(("schedule", "steps_per_epoch", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_form_has_the_values_worked_by_hand(schedule, steps_per_epoch, expected) -> None:
    assert values(schedule, len(expected), steps_per_epoch) == pytest.approx(expected, rel=1e-6)


def test_jang_temperature_is_that_of_the_notebook() -> None:
    """max(exp(-3e-5 i), 0.5), i the last multiple of 1,000: at every one of the notebook's 50,000 steps."""
    schedule = Schedule(1, decay=math.exp(-0.03), every=1000, unit="step", minimum=0.5)
    expected = [max(math.exp(-3e-5 * (step // 1000 * 1000)), 0.5) for step in range(50_000)]
    assert values(schedule, 50_000, steps_per_epoch=500) == pytest.approx(expected, rel=1e-6)
    assert values(schedule, 1, first=999) == [1.0]
    assert values(schedule, 1, first=10_000) == pytest.approx([0.7408182], rel=1e-6)
    assert values(schedule, 1, first=24_000) == [0.5]


def test_jang_learning_rate_falls_by_a_tenth_every_thousand_steps() -> None:
    schedule = Schedule(1e-3, decay=0.9, every=1000, unit="step")
    assert values(schedule, 1, first=999) == pytest.approx([1e-3], rel=1e-6)
    assert values(schedule, 1, first=1000) == pytest.approx([9e-4], rel=1e-6)
    assert values(schedule, 1, first=3999) == pytest.approx([7.29e-4], rel=1e-6)


def test_table_holds_each_member_as_if_alone() -> None:
    schedules = [schedule for schedule, *_ in BY_HAND.values()]
    together = table(schedules, 3, 20, 4)
    assert together.shape == (20, len(schedules))
    for member, schedule in enumerate(schedules):
        assert together[:, member].equal(table([schedule], 3, 20, 4)[:, 0])


def test_table_continues_where_an_interrupted_one_stopped() -> None:
    schedules = [Schedule(1, decay=0.7), Schedule(2, unit="step", warmup=9)]
    assert table(schedules, 0, 12, 3)[7:].equal(table(schedules, 7, 5, 3))


@pytest.mark.parametrize(
    "schedule",
    [
        *(schedule for schedule, *_ in BY_HAND.values()),
        Schedule(0),
        Schedule(3e-4),
        Schedule(1, decay=0.97044553, every=1000, unit="step", minimum=0.5),
        Schedule(1, decay=math.exp(-0.03), every=1000, unit="step", minimum=0.5),
        Schedule(1 / 3),
        Schedule(0.01, warmup=50),
        Schedule(0.004, decay=0.1, warmup=0.02, unit="run"),
    ],
    ids=str,
)
def test_text_form_reads_back_as_the_same_schedule(schedule) -> None:
    assert Schedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize("epochs", [1, 4, 20])
def test_a_schedule_over_the_run_reaches_its_end_at_any_length(epochs: int) -> None:
    """``initial * decay ** t`` for t from 0 to 1, a warm-up over a share of the run, a floor; then it stays."""
    steps = 5 * epochs
    schedules = [
        Schedule(1, decay=1e6, unit="run"),
        Schedule(0.004, decay=0.1, unit="run"),
        Schedule(2, warmup=0.25, unit="run"),
        Schedule(1, decay=0.01, unit="run", minimum=0.5),
    ]
    values = table(schedules, 0, steps + 3, 5, [steps] * 4).double()
    for step in (0, 1, steps // 2, steps - 1, steps):
        t = step / steps
        expected = [10 ** (6 * t), 0.004 * 10**-t, 2 * min(1, 4 * t), max(0.5, 100**-t)]
        assert values[step].tolist() == pytest.approx(expected, rel=1e-5)
    assert values[steps:].unique(dim=0).shape[0] == 1


def test_members_of_other_lengths_have_schedules_of_their_own() -> None:
    """Beside one that decays by epochs of two steps, and goes on to."""
    schedule = Schedule(1, decay=0.25, unit="run")
    values = table([schedule, schedule, Schedule(3, decay=0.5)], 0, 9, 2, [4, 8, 1])
    assert values[4].tolist() == pytest.approx([0.25, 0.5, 0.75])
    assert values[5].tolist() == pytest.approx([0.25, 0.25**0.625, 0.75])
    assert values[8].tolist() == pytest.approx([0.25, 0.25, 0.1875])


def test_schedules_over_the_run_are_alike_in_runs_of_one_length() -> None:
    """What decides whether a population is updated by one rate."""
    rate, plain = Schedule(1, decay=0.5, unit="run"), Schedule(1, decay=0.5)
    assert alike([rate, rate], [3, 3])
    assert not alike([rate, rate], [3, 4])
    assert alike([plain, plain], [3, 4])
    assert not alike([rate, plain], [3, 3])


def test_a_schedule_over_the_run_asks_for_its_length() -> None:
    with pytest.raises(ValueError, match="number of steps"):
        table([Schedule(1, decay=2, unit="run")], 0, 3, 3)


def test_text_form_is_short_and_tolerates_spaces() -> None:
    assert str(Schedule(0.5)) == "0.5"
    assert str(Schedule(1.0, decay=0.97, minimum=0.5)) == "1,decay=0.97,minimum=0.5"
    assert Schedule.parse(" 1 , decay = 0.5 , unit= step") == Schedule(1, decay=0.5, unit="step")


BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"initial": -1}, "initial is -1", "at least 0"),
    ({"initial": math.nan}, "initial is nan", "finite"),
    ({"initial": math.inf}, "initial is inf", "finite"),
    ({"initial": 1, "decay": -0.5}, "decay is -0.5", "at least 0"),
    ({"initial": 1, "minimum": -0.1}, "minimum is -0.1", "at least 0"),
    ({"initial": 1, "warmup": -2}, "warmup is -2", "at least 0"),
    ({"initial": 1, "every": 0}, "every is 0", "at least 1"),
    ({"initial": 1, "unit": "day"}, "unit is 'day'", "'epoch', 'step' or 'run'"),
    ({"initial": 1, "unit": "run", "every": 2}, "every is 2", "leave it at 1"),
    ({"initial": 1, "unit": "run", "warmup": 1.5}, "warmup is 1.5", "at most 1"),
    ({"initial": 1, "unit": "run", "decay": 0}, "decay is 0.0", "above 0"),
    ({"initial": 1, "unit": "run", "decay": 1e300}, "reaches 1e+300", "up to 3e38"),
    ({"initial": 1e39}, "reaches 1e+39", "up to 3e38"),
    ({"initial": 1e-46}, "initial is 1e-46", "that float32 has"),
    ({"initial": 10**400}, "initial is 1000", "finite"),
    ({"initial": None}, "initial is None", "finite number"),
    ({"initial": "1"}, "initial is '1'", "finite number"),
    ({"initial": True}, "initial is True", "finite number"),
    ({"initial": 1, "every": "2"}, "every is 2", "whole number"),
    ({"initial": 1, "every": math.nan}, "every is nan", "whole number"),
    ({"initial": 1, "every": math.inf}, "every is inf", "whole number"),
    ({"initial": 1, "every": True}, "every is True", "whole number"),
    ({"initial": 1, "warmup": 1e300}, "warmup is 1e+300", "at most 1000000000000"),
]


@pytest.mark.parametrize(("fields", "value", "remedy"), BAD_FIELDS)
def test_bad_field_is_named_with_a_remedy_on_one_line(fields, value, remedy) -> None:
    with pytest.raises(InputError) as caught:
        Schedule(**fields)
    message = str(caught.value)
    assert value in message
    assert remedy in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("warm", "write a number"),
        ("", "write a number"),
        ("1,decay=fast", "write a number"),
        ("1,every=2.5", "write a number"),
        ("1,half=2", "fields are decay, every, unit, minimum, warmup"),
        ("1,0.5", "fields are decay"),
        ("-1", "at least 0"),
        ("1,every=0", "at least 1"),
        ("1,unit=day", "'epoch', 'step' or 'run'"),
    ],
)
def test_unreadable_text_is_quoted_with_a_remedy_on_one_line(text, remedy) -> None:
    with pytest.raises(InputError) as caught:
        Schedule.parse(text)
    message = str(caught.value)
    assert repr(text) in message
    assert remedy in message
    assert "\n" not in message


@pytest.mark.parametrize("schedule", [Schedule(0), Schedule(1, decay=0), Schedule(1, warmup=1)], ids=str)
def test_schedule_that_reaches_zero_is_refused_where_it_has_to_be_positive(schedule) -> None:
    Schedule(1, decay=0.5).require_positive("temperature")
    with pytest.raises(InputError, match=r"temperature is .* above 0") as caught:
        schedule.require_positive("temperature")
    assert str(schedule) in str(caught.value)


def test_every_has_to_be_whole() -> None:
    with pytest.raises(InputError, match=r"every is 2\.5"):
        Schedule(1, every=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("0.5,decay=0.9,minimum=0.5", ["decay", "minimum"]),
        ("0.5,decay=1.1,minimum=0.3", ["minimum"]),
        ("0.5,every=3", ["every"]),
        ("0,warmup=5", ["warmup"]),
        ("0,decay=0.5", ["decay"]),
        ("0.5,minimum=0.1", ["minimum"]),
        ("0.1,decay=2,minimum=0.3", []),
        ("0.5,warmup=0.1,unit=run", []),
        ("1,decay=0.97,every=2,minimum=0.5,unit=step", []),
    ],
)
def test_what_changes_nothing_beside_the_rest(text: str, idle: list[str]) -> None:
    schedule = Schedule.parse(text)
    assert schedule.without_effect() == idle
    plain = Schedule(**{name: value for name, value in vars(schedule).items() if name not in idle})
    assert table([schedule], 0, 40, 4, [40]).equal(table([plain], 0, 40, 4, [40]))
