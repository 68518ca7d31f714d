"""The configuration validates itself."""

import pytest

from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError


def test_the_default_is_the_thesis_data() -> None:
    assert DataConfig() == DataConfig("binarised-mnist", "threshold", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "fashion"}, "unknown dataset 'fashion'; did you mean 'fashion-mnist'?"),
        ({"dataset": "mnits"}, "unknown dataset 'mnits'; did you mean 'mnist'?"),
        ({"dataset": 7}, "unknown dataset '7'; choose from binarised-mnist"),
        ({"binarisation": "treshold"}, "unknown binarisation 'treshold'; did you mean 'threshold'?"),
        ({"binarisation": "dynamic"}, 'choose dataset "mnist", or binarisation "threshold"'),
        ({"binarisation_seed": -1}, "binarisation_seed -1 is no seed"),
        ({"binarisation_seed": 2**63}, "is no seed: give an integer from 0"),
        ({"binarisation_seed": 1.5}, "binarisation_seed 1.5 is no seed"),
        ({"binarisation_seed": True}, "binarisation_seed True is no seed"),
    ],
)
def test_bad_values_are_named_in_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        DataConfig(**arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
