"""Lines of a figure can be told apart, and keep their looks."""

from discrete_vae.strategies import STRATEGIES
from reports.kit.figures import COLOURS, styles


def test_strategies_have_colours_of_their_own_as_long_as_there_are_any() -> None:
    for first in range(len(STRATEGIES) - len(COLOURS)):
        names = list(STRATEGIES)[first : first + len(COLOURS)]
        assert len({look["color"] for look in styles({name: name for name in names}).values()}) == len(COLOURS)


def test_no_two_rows_look_alike() -> None:
    rows = {f"{name} {i}": name for name in list(STRATEGIES)[:14] for i in range(2)}
    looks = styles(rows)
    assert len({(look["color"], look["linestyle"]) for look in looks.values()}) == len(rows)
    assert all(looks[f"{name} 0"]["color"] == looks[f"{name} 1"]["color"] for name in rows.values())


def test_rows_of_one_strategy_have_colours_of_their_own() -> None:
    assert len({look["color"] for look in styles({str(i): "reinmax" for i in range(7)}).values()}) == 7


def test_a_strategy_has_the_colour_of_its_name() -> None:
    """So a strategy that is added elsewhere changes no figure."""
    assert styles({"a": "reinmax", "b": "rloo"})["b"] == styles({"b": "rloo", "a": "gumbel-softmax"})["b"]
    assert [look["color"] for look in styles({"a": "a strategy", "b": "of no registry"}).values()] == [
        COLOURS[2],
        COLOURS[0],
    ]
