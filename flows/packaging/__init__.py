"""From a trained CrossEncoder to a Bento: exported, verified against the trained model, built."""

from flows.contracts.release import PackagedBento, ScoredPair
from flows.packaging.building import build_bento
from flows.packaging.exporting import ExportedModel, export
from flows.packaging.failures import BuildFailed, ExportDiffers, ExportFailed, PackagingFailed

__all__ = [
    "BuildFailed",
    "ExportDiffers",
    "ExportFailed",
    "ExportedModel",
    "PackagedBento",
    "PackagingFailed",
    "ScoredPair",
    "build_bento",
    "export",
]
