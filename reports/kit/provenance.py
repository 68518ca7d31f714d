"""The provenance of a report's numbers: environments, and runs with their configurations."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from discrete_vae.files import read_text
from discrete_vae.runs import Run
from reports.kit.cache import Known

ENVIRONMENT = ("commit", "device", "cores", "threads", "platform", "python", "packages")
"""Fields of a training session that go into the provenance: not the command, which may hold private paths."""


def described(runs: Sequence[Run], own: Collection[Path]) -> dict[str, Any]:
    """Seeds, commits, devices, environments and runs; nothing of this call's time or machine.

    A run that comes from other results than the report's ``own`` folders names them.
    """
    environments: dict[str, int] = {}
    entries: list[dict[str, Any]] = []
    for run in dict.fromkeys(runs):
        places = []
        for session in run.sessions():
            place = {name: session.get(name) for name in ENVIRONMENT}
            if "backbone" in session:  # the digest of a user's own network
                place["backbone"] = session["backbone"]
            if "runs" in session:  # of an older provenance, which counts the runs and does not say which
                place["runs"] = session["runs"]
            places.append(environments.setdefault(json.dumps(place, sort_keys=True), len(environments)))
        entry: dict[str, Any] = {
            "run": run.config.name,
            "identity": run.config.identity,
            "status": run.status,
            "seed": run.config.seed,
            "training_seconds": run.entry["training_seconds"] if isinstance(run, Known) else _seconds(run),
            "environments": sorted(set(places)),
            "configuration": run.config.to_dict(),
        }
        if run.finished and run.last_epoch < run.config.epochs:  # its patience ended
            entry["last_epoch"] = run.last_epoch
        if isinstance(run, Known):
            # Of an older version its name is another, and fields that are newer than the run are missing.
            entry |= {name: run.entry[name] for name in ("run", "identity", "configuration") if name in run.entry}
            if "environments" not in run.entry:
                del entry["environments"]
            if source := run.entry.get("source", "" if run.source in own else run.source.name):
                entry["source"] = source
        entries.append(entry)
    everywhere = [json.loads(text) for text in environments]
    return {
        "seeds": sorted({run.config.seed for run in runs}),
        "commits": sorted({str(each["commit"]) for each in everywhere if each["commit"]}),
        "devices": sorted({str(each["device"]) for each in everywhere}),
        "training_seconds": round(sum(float(each["training_seconds"]) for each in entries), 1),
        "environments": everywhere,
        "runs": entries,
    }


def _seconds(run: Run) -> float:
    """Seconds of its training; a population's seconds are shared among its members."""
    sessions = run.sessions()  # older ones tell the population's size at the start only
    shares = (
        each.get("member_seconds", each.get("seconds", 0.0) / max(1, each.get("population", 1))) for each in sessions
    )
    return round(float(sum(shares)), 2)


def owner_of(path: Path) -> str | None:
    """The report that a provenance is of; None for another file."""
    return _told(path, "report")


def preset_of(path: Path) -> str | None:
    """The preset that it was made at."""
    return _told(path, "preset")


def _told(path: Path, name: str) -> str | None:
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError):
        return None
    told = found.get(name) if isinstance(found, dict) else None
    return told[:40] if isinstance(told, str) else None
