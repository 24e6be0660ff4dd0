"""The deployments of prefect.yaml, made known to the server when they have changed, and what triggers them."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx

from deployments.local.automations import register_automations
from deployments.local.environment import FOREIGN
from deployments.local.services import ROOT
from deployments.local.stack import StackFailed
from flows.settings import Settings


def register_deployments(
    settings: Settings,
    environment: Mapping[str, str],
    progress: Callable[[str], None] = lambda line: None,
    *,
    root: Path = ROOT,
) -> None:
    """Register every deployment of `root`/prefect.yaml, and our automations, with the server of `environment`.

    Quick when prefect.yaml and the flows are as they were and the server still knows the deployments. StackFailed
    with the output of `prefect deploy` when that fails.
    """
    with httpx.Client(base_url=environment["PREFECT_API_URL"], timeout=30, trust_env=False) as api:
        noted = settings.file("run", "deployments.json")
        digest = _digest(root)
        if noted.exists() and json.loads(noted.read_text("utf-8")) == [digest, _known(api)]:
            progress("Deployments are registered as they are")
        else:
            progress("Deployments: registering those of prefect.yaml ...")
            _deploy(root, environment)
            known = _known(api)
            noted.write_text(json.dumps([digest, known]), "utf-8")
            progress(f"Deployments registered: {len(known)}")
        register_automations(api, settings.triggers)


def _deploy(root: Path, environment: Mapping[str, str]) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        command,
        cwd=root,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise StackFailed(f"`prefect deploy --all` failed in {root}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def _known(api: httpx.Client) -> list[str]:
    """Return the ids of all deployments of the server, sorted."""
    found: list[str] = []
    while True:
        answer = api.post("/deployments/filter", json={"limit": 200, "offset": len(found), "sort": "NAME_ASC"})
        page = [deployment["id"] for deployment in answer.raise_for_status().json()]
        found += page
        if not page:
            return sorted(found)


def _digest(root: Path) -> str:
    """Return the SHA-256 over what `prefect deploy` reads: prefect.yaml and the flows with all that they import."""
    digest = hashlib.sha256(str(root).encode())
    for path in _sources(root):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    yield root / "prefect.yaml"
    yield from sorted((root / "flows").rglob("*.py"))
