"""The SLURM script and the Kubernetes manifest can be read, and call the command as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

import studies
from studies.__main__ import app

FOLDER = Path(studies.__file__).with_name("cluster")
ROOT = FOLDER.parents[1]


def understood(words: list[str]) -> None:
    """That the command takes these words; cyclopts raises where it does not."""
    _, bound, rest = app.parse_args(words, exit_on_error=False, print_error=False)[:3]
    assert "name" in bound.arguments
    assert not rest


SLURM = FOLDER / "slurm.sh"
PYTHON, BARE = (f"exec '{sys.executable}' {option} \"$@\"" for option in ("", "-S"))
"""The Python of an active environment, and one outside of any."""


def submitted(folder: Path, *words: str, python: str | None = PYTHON, **variables: str) -> CompletedProcess[str]:
    """The SLURM script run as a job would, with an ``srun`` that says what it is to run and with what."""
    programs = {"srun": 'printf \'%s\\n\' "$SRUN_CPUS_PER_TASK $OMP_NUM_THREADS" "$@"', "python": python}
    for name, body in programs.items():
        if body is not None:
            program = folder / "programs" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\n{body}\n")
            program.chmod(0o755)
    path = os.pathsep.join([str(folder / "programs"), *(["/bin", "/usr/bin"] if python else [])])
    bash = shutil.which("bash")
    assert bash is not None
    environment = {"PATH": path, "DISCRETE_VAE_STORAGE": "postgresql+psycopg://user@host/database"} | variables
    return subprocess.run(
        [bash, SLURM, *words], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        ((), {}),
        (("--runs", "a place", "--artifacts", "b"), {}),
        ((), {"RUNS": "a place", "ARTIFACTS": "b"}),
        ((), {"RUNS": "", "ARTIFACTS": "b"}),
    ],
)
def test_what_a_slurm_job_runs(tmp_path: Path, words: tuple[str, ...], variables: dict[str, str]) -> None:
    """A command that is understood, wherever the folders are said, on all of the job's processors."""
    found = submitted(
        tmp_path,
        "gumbel-softmax",
        "--trials",
        "100",
        *words,
        PYTHONPATH=str(ROOT),
        SLURM_CPUS_PER_TASK="4",
        **variables,
    )
    assert found.returncode == 0, found.stderr
    processors, *call = found.stdout.splitlines()
    assert processors == "4 4"
    assert call[:4] == ["--export=ALL", "python", "-m", "studies"]
    understood(call[4:])
    assert ("--runs" in call) == (call.count("a place") == 1)
    assert ("--artifacts" in call) == (call.count("b") == 1)


@pytest.mark.parametrize(
    ("python", "variables", "message"),
    [
        (PYTHON, {"DISCRETE_VAE_STORAGE": ""}, "DISCRETE_VAE_STORAGE: set it to the URL of a PostgreSQL database"),
        (
            BARE,
            {},
            "error: .*python has no studies torch optuna; run sbatch from the checkout",
        ),
        (None, {}, "error: there is no python; run sbatch from the checkout"),
    ],
)
def test_what_a_slurm_job_lacks(tmp_path: Path, python: str | None, variables: dict[str, str], message: str) -> None:
    found = submitted(tmp_path, "gumbel-softmax", python=python, **variables)
    assert found.returncode != 0
    assert re.search(message, found.stderr)
    assert found.stderr.count("\n") == 1
    assert not found.stdout


def test_the_kubernetes_manifest() -> None:
    documents = {each["kind"]: each for each in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())}
    assert set(documents) == {"Service", "StatefulSet", "Job"}
    assert all(each["apiVersion"] and each["metadata"]["name"] for each in documents.values())
    service, server, job = documents["Service"], documents["StatefulSet"]["spec"], documents["Job"]["spec"]
    assert service["spec"]["selector"] == server["selector"]["matchLabels"] == server["template"]["metadata"]["labels"]
    (worker,) = job["template"]["spec"]["containers"]
    words = [*worker["command"], *worker["args"]]
    assert words[:3] == ["python", "-m", "studies"]
    understood(words[3:])
    values = {each["name"]: each.get("value") for each in worker["env"]}
    assert f"@{service['metadata']['name']}/" in values["DISCRETE_VAE_STORAGE"]
    secrets = [
        each["valueFrom"]["secretKeyRef"]
        for container in (worker, server["template"]["spec"]["containers"][0])
        for each in container["env"]
        if "PASSWORD" in each["name"]
    ]
    assert len(secrets) == 2
    assert secrets[0] == secrets[1]
    volumes = {each["name"] for each in job["template"]["spec"]["volumes"]}
    assert {each["name"] for each in worker["volumeMounts"]} == volumes
