"""The model registry in MLflow: training runs, versions that are never doubled, and the champion's alias.

MLflow takes seconds to import, so `Registry` brings it in when it is made, not when this package is imported.
"""

from flows.registry.candidate import CandidateFile
from flows.registry.card import model_card
from flows.registry.contenders import Contenders, choose_contenders
from flows.registry.evidence import Evidence
from flows.registry.failures import RegistryError, RegistryUnavailable
from flows.registry.lineage import Lineage
from flows.registry.opening import open_registry
from flows.registry.registry import Registry
from flows.registry.runs import TrainingRun

__all__ = [
    "CandidateFile",
    "Contenders",
    "Evidence",
    "Lineage",
    "Registry",
    "RegistryError",
    "RegistryUnavailable",
    "TrainingRun",
    "choose_contenders",
    "model_card",
    "open_registry",
]
