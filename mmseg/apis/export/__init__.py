"""From a model to a file that other programs run: ONNX, TorchScript, torch.export."""

from mmseg.apis.export.command import export_from_args
from mmseg.apis.export.describe import Preprocessing, describe, preprocessing_of
from mmseg.apis.export.export import Difference, DifferenceError, export_model
from mmseg.apis.export.graph import ExportedSegmentor

__all__ = [
    "Difference",
    "DifferenceError",
    "ExportedSegmentor",
    "Preprocessing",
    "describe",
    "export_from_args",
    "export_model",
    "preprocessing_of",
]
