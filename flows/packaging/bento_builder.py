"""The program that `flows.packaging.building` runs: it reads an order from standard input and fills the store."""

import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import bentoml
import yaml
from bentoml.exceptions import NotFound


def main(order: dict[str, Any]) -> None:
    """Make the BentoML model, where it is not there, and the Bento that contains it."""
    _create_model(order["model_tag"], Path(order["model_folder"]), order["labels"], order["metadata"])
    bentofile = Path(order["bentofile"])
    name, _, version = order["tag"].partition(":")
    plan = yaml.safe_load(bentofile.read_text("utf-8"))
    plan["name"] = name
    plan["labels"] = {**plan.get("labels", {}), **order["labels"]}
    plan["models"] = [{"tag": order["model_tag"], "alias": entry["alias"]} for entry in plan["models"]]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as pinned:
        yaml.safe_dump(plan, pinned)
        pinned.flush()
        bentoml.bentos.build_bentofile(pinned.name, version=version, build_ctx=str(bentofile.parent))


def _create_model(tag: str, folder: Path, labels: dict[str, str], metadata: dict[str, Any]) -> None:
    with contextlib.suppress(NotFound):
        bentoml.models.get(tag)
        return
    with bentoml.models.create(tag, labels=labels, metadata=metadata) as model:
        shutil.copytree(folder, model.path, dirs_exist_ok=True)


if __name__ == "__main__":
    main(json.load(sys.stdin))
