"""Checkpoints: bit by bit the tensors that were written, or an error; never code."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.runs import checkpoints

IDENTITY = "0123456789ab"


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    """Every dtype that training saves, with the floats that are easiest to lose."""
    special = torch.tensor([0.0, -0.0, 1e-45, 3.4e38, torch.inf, -torch.inf, torch.nan])
    return {
        "weight": torch.rand(3, 5, generator=torch.Generator().manual_seed(0)),
        "special": special,
        "scalar": torch.tensor(0.1),
        "noise": torch.Generator().manual_seed(1).get_state(),
        "count": torch.tensor([2**62 + 1, -1]),
        "empty": torch.zeros(0, 4),
    }


def bits(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size, bytes]]:
    return {name: (each.dtype, each.shape, each.numpy().tobytes()) for name, each in tensors.items()}


def test_round_trip_is_exact(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    assert bits(checkpoints.read(tmp_path, 7, IDENTITY)) == bits(tensors)
    assert {each.dtype for each in tensors.values()} == {torch.float32, torch.uint8, torch.int64}


def test_views_and_parameters_are_saved_by_value(tmp_path: Path) -> None:
    stacked = torch.nn.Parameter(torch.arange(12.0).reshape(2, 3, 2))
    checkpoints.write(tmp_path, 1, IDENTITY, {"member": stacked[1], "turned": stacked[0].T})
    read = checkpoints.read(tmp_path, 1, IDENTITY)
    assert read["member"].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert read["turned"].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert not read["member"].requires_grad


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 1_000_000_000):
        checkpoints.write(tmp_path, step, IDENTITY, {"step": torch.tensor(step)})
    assert checkpoints.steps(tmp_path) == [15, 1_000_000_000]
    assert checkpoints.read(tmp_path, 15, IDENTITY)["step"] == 15
    checkpoints.prune(tmp_path, keep=1)
    assert checkpoints.steps(tmp_path) == [1_000_000_000]


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def test_a_pickle_in_its_place_is_refused_and_not_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap works"
    sprung.unlink()
    folder = tmp_path / "run"
    folder.mkdir()
    path = checkpoints.path_of(folder, 7)
    for save in (lambda: path.write_bytes(pickle.dumps(Trap(sprung))), lambda: torch.save(Trap(sprung), path)):
        save()
        with pytest.raises(InputError, match="delete this file") as caught:
            checkpoints.read(folder, 7, IDENTITY)
        assert str(path) in str(caught.value)
        assert not sprung.exists()


def test_no_byte_can_change_unnoticed(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    """Flip a bit of every byte of the header, and of every 50th byte of the tensors."""
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    path = checkpoints.path_of(tmp_path, 7)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = []
    for position in [*range(header), *range(header, len(whole), 50)]:
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            read = checkpoints.read(tmp_path, 7, IDENTITY)
        except InputError as error:
            refused.append(str(error))
        else:
            assert bits(read) == bits(tensors)
            assert position < header, "only a byte of no meaning, such as padding, is let pass"
    assert len(refused) > 0.9 * header
    assert [message for message in refused if str(path) not in message or "\n" in message] == []


def test_a_flipped_weight_names_file_and_remedy(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    path = checkpoints.path_of(tmp_path, 7)
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x80
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"corrupt.*delete this file to go on from the checkpoint before it") as caught:
        checkpoints.read(tmp_path, 7, IDENTITY)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_cut_off_file_is_refused(tmp_path: Path, tensors: dict[str, Tensor], share: float) -> None:
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    path = checkpoints.path_of(tmp_path, 7)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cannot be read.*delete this file") as caught:
        checkpoints.read(tmp_path, 7, IDENTITY)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        checkpoints.read(tmp_path, 7, IDENTITY)
    assert str(checkpoints.path_of(tmp_path, 7)) in str(caught.value)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    checkpoints.write(tmp_path, 7, "ba9876543210", tensors)
    with pytest.raises(InputError, match=f"of configuration ba9876543210, not {IDENTITY}: use the folder"):
        checkpoints.read(tmp_path, 7, IDENTITY)


def test_a_checkpoint_under_another_steps_name_is_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    """A copied or renamed file would otherwise make an unfinished run count as finished."""
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    checkpoints.path_of(tmp_path, 7).rename(checkpoints.path_of(tmp_path, 14))
    with pytest.raises(InputError, match="step 7"):
        checkpoints.read(tmp_path, 14, IDENTITY)


def test_metadata_is_readable_without_this_library(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    content = checkpoints.path_of(tmp_path, 7).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["__metadata__"]["identity"] == IDENTITY
    assert header["__metadata__"]["step"] == "7"


def test_other_files_in_the_folder_do_not_disturb(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    for name in (".checkpoint-000000014.safetensors.123.part", "checkpoint-000000014.safetensors.bak", "config.json"):
        (tmp_path / name).touch()
    assert checkpoints.steps(tmp_path) == [7]


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    """The library's own header has its keys in another order each time."""
    written = set()
    for order in (tensors, dict(reversed(tensors.items())), tensors, tensors):
        checkpoints.write(tmp_path, 7, IDENTITY, order)
        written.add(checkpoints.path_of(tmp_path, 7).read_bytes())
    (content,) = written
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    assert len(header) % 8 == 0, "the tensors begin where they may be mapped into memory"
    pairs = json.loads(header, object_pairs_hook=lambda found: [name for name, _ in found])
    assert pairs == sorted(pairs)


def test_names_that_are_no_checkpoints(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    others = ["14", "00000001 4", "-00000014", "000000014 copy", "000000014.5", "٠٠٠٠٠٠٠١٤", "00000000²"]
    for name in others:
        (tmp_path / f"checkpoint-{name}.safetensors").write_bytes(checkpoints.path_of(tmp_path, 7).read_bytes())
    checkpoints.path_of(tmp_path, 21).mkdir()
    checkpoints.path_of(tmp_path, 28).symlink_to("nothing")
    os.mkfifo(checkpoints.path_of(tmp_path, 35))
    before = sorted(tmp_path.iterdir())
    assert checkpoints.steps(tmp_path) == [7]
    checkpoints.prune(tmp_path, keep=1)
    assert sorted(tmp_path.iterdir()) == before


def test_a_header_tells_whose_a_checkpoint_is(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    checkpoints.write(tmp_path, 7, IDENTITY, tensors)
    checkpoints.check(tmp_path, 7, IDENTITY)
    with pytest.raises(InputError, match="of configuration"):
        checkpoints.check(tmp_path, 7, "ba9876543210")
    checkpoints.path_of(tmp_path, 7).rename(checkpoints.path_of(tmp_path, 14))
    with pytest.raises(InputError, match="is of step 7; give it back that name"):
        checkpoints.check(tmp_path, 14, IDENTITY)
    checkpoints.path_of(tmp_path, 14).write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="cannot be read"):
        checkpoints.check(tmp_path, 14, IDENTITY)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.bool, torch.float16])
def test_dtypes_that_training_does_not_write_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    """So that it can be said where they are."""
    checkpoints.write(tmp_path, 7, IDENTITY, {"weight": torch.ones(3).to(dtype)})
    assert checkpoints.read(tmp_path, 7, IDENTITY)["weight"].dtype == dtype
