"""The wheel ships only the package, and trains from an environment that holds nothing else of the project."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_ships_the_package_its_data_and_licences_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"discrete_vae", "discrete_vae-0.1.0.dist-info"}
    for needed in (
        "discrete_vae/py.typed",
        "discrete_vae/data/binarised_mnist.xz",
        "discrete_vae/data/LICENSE-MNIST.md",
    ):
        assert needed in names
    assert wheel.stat().st_size < 2_000_000


def test_the_installed_wheel_trains_an_epoch(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # Third-party packages come from this environment's site-packages, behind the new one's own.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run([str(python), *command], cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import discrete_vae; print(discrete_vae.__file__)").startswith(str(packages))
    main = ("-c", "from discrete_vae.cli.command import main; main()")
    size = "--latents 3 --categories 4 --hidden 16 --batch-size 1000 --epochs 1"
    assert "finished" in run(*main, "train", "gumbel-softmax", *size.split())
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "checkpoint-000000050.safetensors").exists()
