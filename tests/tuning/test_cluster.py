"""The SLURM script and the Kubernetes manifest can be read, and call the command as it is."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import yaml

import studies
from studies.__main__ import app

FOLDER = Path(studies.__file__).with_name("cluster")


def understood(words: list[str]) -> None:
    """That the command takes these words; cyclopts raises where it does not."""
    _, bound, rest = app.parse_args(words, exit_on_error=False, print_error=False)[:3]
    assert "name" in bound.arguments
    assert not rest


def test_the_slurm_script() -> None:
    path = FOLDER / "slurm.sh"
    subprocess.run(["bash", "-n", path], check=True)
    words = shlex.split(path.read_text().splitlines()[-1], comments=True)
    call = words[words.index("studies") + 1 :]
    understood([*["worker", "gumbel-softmax", "--trials", "100"], *(word for word in call[1:] if word != "$@")])
    missing = subprocess.run(["bash", path], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert missing.returncode != 0
    assert "DISCRETE_VAE_STORAGE: set it to the URL" in missing.stderr


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
