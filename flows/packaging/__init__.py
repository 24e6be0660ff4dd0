"""From a trained CrossEncoder to a Bento: exported, quantised, measured against the trained model, built."""

from flows.contracts.release import PackagedBento, ScoredPair
from flows.packaging.building import build_bento
from flows.packaging.exporting import ExportedModel, export
from flows.packaging.failures import BuildFailed, ExportDiffers, ExportFailed, PackagingFailed, QuantisationFailed
from flows.packaging.quantising import quantise_onnx
from flows.packaging.rejudging import Victory, victory

__all__ = [
    "BuildFailed",
    "ExportDiffers",
    "ExportFailed",
    "ExportedModel",
    "PackagedBento",
    "PackagingFailed",
    "QuantisationFailed",
    "ScoredPair",
    "Victory",
    "build_bento",
    "export",
    "quantise_onnx",
    "victory",
]
