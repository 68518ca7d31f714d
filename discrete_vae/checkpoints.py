"""Checkpoints of single runs: tensors and a few words of metadata. Reading one executes no code.

The format is safetensors with a SHA-256 of the content in its metadata. The newest two checkpoints of a run are kept,
so that a population whose members were cut off between two writes still has a step that all of them share, and a
damaged newest file leaves the one before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.files import write_atomically

KEPT = 2


def path_of(folder: Path, step: int) -> Path:
    """The checkpoint after ``step`` updates."""
    return folder / f"checkpoint-{step:09d}.safetensors"


def steps(folder: Path) -> list[int]:
    """Steps that a run's folder has checkpoints of, oldest first."""
    names = (path.stem.partition("-")[2] for path in folder.glob("checkpoint-*.safetensors"))
    return sorted(int(name) for name in names if name.isdecimal())


def write(folder: Path, step: int, identity: str, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint and remove all but the newest ``KEPT``. Raises ``InputError`` where the disk refuses."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"identity": identity, "step": str(step), "sha256": _digest(tensors)}
    write_atomically(path_of(folder, step), save(tensors, metadata))
    prune(folder, KEPT)


def prune(folder: Path, keep: int) -> None:
    """Remove all checkpoints but the newest ``keep``."""
    for old in steps(folder)[:-keep]:
        path_of(folder, old).unlink(missing_ok=True)


def read(folder: Path, step: int, identity: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint.

    Raises ``InputError`` where the file is missing, corrupt, or belongs to another configuration.
    """
    path = path_of(folder, step)
    try:
        with safe_open(path, "pt") as file:  # type: ignore[no-untyped-call]
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"checkpoint {path} cannot be read ({_line(error)}); {REMEDY}") from error
    if metadata.get("sha256") != _digest(tensors):
        raise InputError(f"checkpoint {path} is corrupt (its SHA-256 does not match); {REMEDY}")
    if metadata.get("identity") != identity:
        raise InputError(
            f"checkpoint {path} is of configuration {metadata.get('identity')}, not {identity}: use the folder of the "
            "run that it belongs to; if it is in that, an older version made it, whose numbers differ: train it again"
        )
    if metadata.get("step") != str(step):
        raise InputError(f"checkpoint {path} is of step {metadata.get('step')}; give it back that name")
    return tensors


REMEDY = "delete this file to go on from the checkpoint before it, or the run's folder to begin again"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
