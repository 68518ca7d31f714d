"""Checkpoints of single runs: tensors and a few words of metadata. Reading one executes no code.

The format is safetensors with a SHA-256 of the content in its metadata, and its header sorted, so that the same tensors
give the same bytes. The newest two checkpoints of a run are kept: a population whose members were cut off between two
writes still has a step that all of them share, and a damaged newest file leaves the one before it. A run that keeps its
best epoch has the weights of that epoch beside them, in files of the same format.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, uint8

from discrete_vae.errors import InputError
from discrete_vae.files import write_atomically

KEPT = 2
NEWEST = "checkpoint"
"""Kind of the files that training goes on from."""
BEST = "best"
"""Kind of the files that hold the weights of a best epoch, and nothing to train on from."""


def path_of(folder: Path, step: int, kind: str = NEWEST) -> Path:
    """The checkpoint after ``step`` updates."""
    return folder / f"{kind}-{step:09d}.safetensors"


def steps(folder: Path, kind: str = NEWEST) -> list[int]:
    """Steps that a run's folder has checkpoints of, by their names, oldest first."""
    found = (re.fullmatch(rf"{kind}-([0-9]{{9,}})\.safetensors", path.name) for path in folder.glob(f"{kind}-*"))
    known = [int(match[1]) for match in found if match]
    return sorted(step for step in known if path_of(folder, step, kind).is_file())


def write(folder: Path, step: int, identity: str, tensors: Mapping[str, Tensor], kind: str = NEWEST) -> None:
    """Write a checkpoint, and remove all but the newest ``KEPT`` of those that training goes on from.

    Raises ``InputError`` where the disk refuses.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"identity": identity, "step": str(step), "sha256": _digest(tensors)}
    write_atomically(path_of(folder, step, kind), _sorted(save(tensors, metadata)))
    if kind == NEWEST:
        prune(folder, KEPT)


def prune(folder: Path, keep: int) -> None:
    """Remove all checkpoints but the newest ``keep``; best epochs stay (``prune_best``)."""
    for old in steps(folder)[:-keep]:
        path_of(folder, old).unlink(missing_ok=True)


def prune_best(folder: Path, needed: Collection[int]) -> None:
    """Remove the weights of best epochs but those after ``needed`` updates."""
    for step in steps(folder, BEST):
        if step not in needed:
            path_of(folder, step, BEST).unlink(missing_ok=True)


def read(folder: Path, step: int, identity: str, kind: str = NEWEST) -> dict[str, Tensor]:
    """The tensors of a checkpoint.

    Raises ``InputError`` where the file is missing, corrupt, or belongs to another configuration or step.
    """
    path = path_of(folder, step, kind)
    try:
        with safe_open(path, "pt") as file:  # type: ignore[no-untyped-call]
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        digest = _digest(tensors)
    except UNREADABLE as error:
        raise InputError(f"checkpoint {path} cannot be read ({_line(error)}); {_remedy(path)}") from error
    if metadata.get("sha256") != digest:
        raise InputError(f"checkpoint {path} is corrupt (its SHA-256 does not match); {_remedy(path)}")
    _check_owner(path, step, identity, metadata)
    return tensors


def check(folder: Path, step: int, identity: str, kind: str = NEWEST) -> None:
    """Raise ``InputError`` for a checkpoint that is not what its name says, as far as its header tells."""
    path = path_of(folder, step, kind)
    try:
        with safe_open(path, "pt") as file:  # type: ignore[no-untyped-call]
            metadata = file.metadata() or {}
    except UNREADABLE as error:
        raise InputError(f"checkpoint {path} cannot be read ({_line(error)}); {_remedy(path)}") from error
    _check_owner(path, step, identity, metadata)


def check_tensors(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ``InputError`` unless these are finite tensors of the names, shapes and dtypes of the expected ones."""
    for name in sorted(tensors.keys() | expected.keys()):
        there, wanted = (_described(each.get(name)) for each in (tensors, expected))
        if there != wanted:
            raise InputError(
                f"checkpoint {path} does not fit its run: {name!r} is {there}, not {wanted}; {_remedy(path)}"
            )
        if not bool(tensors[name].isfinite().all()):
            raise InputError(f"checkpoint {path} does not fit its run: {name!r} is not finite; {_remedy(path)}")


def _described(tensor: Tensor | None) -> str:
    """``float32 [20, 10]``."""
    return "absent" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _check_owner(path: Path, step: int, identity: str, metadata: Mapping[str, str]) -> None:
    if (found := metadata.get("identity")) != identity:
        raise InputError(
            f"checkpoint {path} is of configuration {str(found)[:40]}, not {identity}: use the folder of the "
            "run that it belongs to; if it is in that, an older version made it, whose numbers differ: train it again"
        )
    if metadata.get("step") != str(step):
        raise InputError(f"checkpoint {path} is of step {str(metadata.get('step'))[:40]}; give it back that name")


UNREADABLE = (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
"""Errors of reading a damaged file; the last four where it holds a dtype that torch lacks."""
REMEDY = "delete this file to go on from the checkpoint before it, or the run's folder to begin again"
REMEDY_BEST = "delete the run's folder to begin again"


def _remedy(path: Path) -> str:
    """The remedy for a file whose content is damaged."""
    return REMEDY_BEST if path.name.startswith(f"{BEST}-") else REMEDY


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _sorted(content: bytes) -> bytes:
    """A safetensors file with its header's keys in order; the library writes them as they come."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors begin at a multiple of 8 bytes
    return b"".join([len(header).to_bytes(8, "little"), header, content[end:]])


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy().tobytes())  # numpy does not know all of torch's dtypes
    return digest.hexdigest()
