"""Checked downloads: each file from the first mirror whose content has the right SHA-256."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pooch  # type: ignore[import-untyped]
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from discrete_vae.data import idx
from discrete_vae.data.sources import Source, check_sha256
from discrete_vae.errors import InputError

CHUNK_BYTES = 1 << 16


def cache_folder(source: Source) -> Path:
    """Where downloads of ``source`` are kept: the user's cache folder of the operating system."""
    return Path(pooch.os_cache("discrete-vae")) / source.name


def fetch(source: Source, folder: Path) -> None:
    """Download to ``folder`` the files of ``source`` that are missing there or have the wrong content.

    Raises:
        InputError: no mirror gave a file with the right content, or ``folder`` cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in source.sha256:
            if not _is_present(source, name, folder):
                _remove(name, folder)
                _fetch_file(source, name, folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): make room or grant access") from error


def _is_present(source: Source, name: str, folder: Path) -> bool:
    try:
        path = idx.find(folder, name)
        check_sha256(source, name, idx.read_content(path), path)
    except InputError:
        return False
    return True


def _remove(name: str, folder: Path) -> None:
    # A corrupt file under one name would hide the good download under another.
    for candidate in idx.candidates(name):
        (folder / candidate).unlink(missing_ok=True)


def _fetch_file(source: Source, name: str, folder: Path) -> None:
    failures = []
    # Only checked content is moved to its place: a killed download leaves nothing to be mistaken for it.
    with TemporaryDirectory(dir=folder, prefix="download-") as temporary:
        path = Path(temporary) / f"{name}.gz"
        for mirror in source.mirrors:
            try:
                _download(f"{mirror}{path.name}", path, f"{source.name} {name}")
                check_sha256(source, name, idx.read_content(path), path)
            # Of all that can go wrong with a mirror, requests' errors are OSErrors.
            except (OSError, InputError) as error:
                reason = " ".join(str(error).replace(f"{path}", path.name).split())
                failures.append(f"{mirror} ({reason})")
            else:
                os.replace(path, folder / path.name)
                return
    raise InputError(
        f"{source.name} cannot be downloaded, no mirror has {name}.gz: check the network, or name a folder "
        f"that holds the IDX files; tried {'; '.join(failures)}"
    )


def _download(address: str, path: Path, description: str) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = _PoochBar(progress, progress.add_task(description, total=None))
        pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK_BYTES)(address, str(path), None)


class _PoochBar:
    """The interface of pooch's progress bar, drawn by rich."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task

    @property
    def total(self) -> float | None:
        return self.progress.tasks[0].total

    @total.setter
    def total(self, size: int) -> None:
        self.progress.update(self.task, total=size or None)  # 0 where the server does not tell

    def update(self, size: int) -> None:
        self.progress.advance(self.task, size)

    def reset(self) -> None:
        self.progress.update(self.task, completed=0)

    def close(self) -> None:
        """The caller's ``with`` block closes the display, whether the download succeeds or not."""
