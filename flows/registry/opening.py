"""The registry that the settings name."""

from flows.registry.registry import Registry
from flows.settings import Settings


def open_registry(settings: Settings) -> Registry:
    """Return the registry at the settings' MLflow: the stack's server, or a database under the home folder."""
    default = f"sqlite:///{settings.file('mlflow.db')}"
    return Registry(settings.registry, settings.registry.tracking_uri or default)
