"""One thread for every test, no secrets of the test before, and the devices that this machine has."""

from collections.abc import Iterator

import pytest
import torch

from discrete_vae.secrets import remembering


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_secrets() -> Iterator[None]:
    """Forget the storages that a test opened: their words would be hidden from what later tests print."""
    with remembering(()):
        yield


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device in turn; a test that takes it runs once on each."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return torch.device(request.param)
