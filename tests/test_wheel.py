"""The wheel ships only the package, comes out of the sdist, and trains from an environment that holds nothing else."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from discrete_vae import __version__

ROOT = Path(__file__).parents[1]
NAME = f"discrete_vae-{__version__}"
VERSIONS = ("3.11", "3.12", "3.13")
"""Pythons that the classifiers name; each is tried where it is installed."""
NEEDED = "torch, numpy, pandas, safetensors, filelock, pooch, rich, PIL, cyclopts, docstring_parser, psutil"


@functools.cache
def interpreter(version: str) -> str | None:
    """A Python of this version, such as ``python3.12``, that has what the package needs; the running one first."""
    print_version = f"import sys, {NEEDED}; print('%d.%d' % sys.version_info[:2])"
    for name in (sys.executable, shutil.which(f"python{version}")):
        if name:
            done = subprocess.run([name, "-c", print_version], capture_output=True, text=True, check=False)
            if done.stdout.strip() == version:
                return name
    return None


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist, and the wheel that is built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture
def sdist(built: Path) -> Path:
    (found,) = built.glob("*.tar.gz")
    return found


def test_the_wheel_ships_the_package_its_data_and_licences_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"discrete_vae", f"{NAME}.dist-info"}
    for needed in (
        "discrete_vae/py.typed",
        "discrete_vae/references.bib",
        "discrete_vae/data/binarised_mnist.xz",
        "discrete_vae/data/LICENSE-MNIST.md",
        f"{NAME}.dist-info/licenses/LICENSE",
        f"{NAME}.dist-info/licenses/discrete_vae/data/LICENSE-MNIST.md",
    ):
        assert needed in names
    assert wheel.stat().st_size < 2_000_000


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    kept = subprocess.run(["git", "ls-files", "discrete_vae"], cwd=ROOT, capture_output=True, text=True, check=False)
    if kept.returncode:
        pytest.skip("no git checkout")
    assert set(kept.stdout.split()) <= set(zipfile.ZipFile(wheel).namelist())


def test_the_sdist_ships_what_the_wheel_is_made_of_and_explains_it(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    assert {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("discrete_vae/")} <= names
    assert {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "SECURITY.md", "pyproject.toml"} <= names
    assert {name.split("/")[0] for name in names if "/" in name} == {"discrete_vae", "examples"}
    assert sdist.stat().st_size < 2_500_000


def test_an_index_takes_both(built: Path) -> None:
    command = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *map(str, sorted(built.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_metadata_say_the_version_licence_and_pythons(wheel: Path) -> None:
    text = zipfile.ZipFile(wheel).read(f"{NAME}.dist-info/METADATA").decode()
    metadata = Parser().parsestr(text)
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    named = {each for each in metadata.get_all("Classifier", []) if "Python :: 3." in each}
    assert named == {f"Programming Language :: Python :: {version}" for version in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_installed_wheel_trains_an_epoch(wheel: Path, version: str, tmp_path: Path) -> None:
    base = interpreter(version)
    if base is None:
        pytest.skip(f"no python{version} that has the dependencies is installed")
    find = "import site; print(*site.getsitepackages(), sep='\\n')"
    dependencies = subprocess.run([base, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    environment = tmp_path / "environment"
    if base == sys.executable:
        venv.create(environment, with_pip=False)
    else:
        subprocess.run([base, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # Third-party packages come from the other environment's site-packages, behind the new one's own.
    (packages / "dependencies.pth").write_text(dependencies + "\n")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run([str(python), *command], cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = "import sys, discrete_vae as d; print(sys.version_info[1], d.__version__, d.__file__)"
    assert run("-c", shown).startswith(f"{version.removeprefix('3.')} {__version__} {packages}")
    main = ("-W", "error::DeprecationWarning:discrete_vae", "-c", "from discrete_vae.cli.command import main; main()")
    size = "--latents 3 --categories 4 --hidden 16 --batch-size 1000 --epochs 1 --dataset binarised-mnist-1000"
    assert "finished" in run(*main, "train", "gumbel-softmax", *size.split())
    (folder,) = (tmp_path / "runs").iterdir()
    assert list(folder.glob("checkpoint-*.safetensors"))
