"""What the losses share: how they are averaged, and where class weights come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmseg.utils.errors import UserError

EPS = torch.finfo(torch.float32).eps
REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: str) -> str:
    """Return ``reduction`` if it is one.

    Raises:
        UserError: it is not one of ``'none'``, ``'mean'``, ``'sum'``.
    """
    if reduction not in REDUCTIONS:
        raise UserError(f"reduction of a loss is one of {', '.join(REDUCTIONS)}, not {reduction!r}")
    return reduction


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """Average (``'mean'``), sum (``'sum'``) or leave (``'none'``) the elements of ``loss``."""
    if check_reduction(reduction) == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def weight_reduce_loss(
    loss: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
) -> Tensor:
    """Weigh the elements of ``loss``, then reduce them.

    Args:
        loss: Elementwise loss, any shape.
        weight: Multiplied with ``loss`` (broadcast); it does not enter the divisor.
        avg_factor: The divisor of ``'mean'``, by default the number of elements.

    Raises:
        UserError: an unknown reduction, or ``avg_factor`` with ``'sum'``.
    """
    if weight is not None:
        loss = loss * weight
    if avg_factor is None:
        return reduce_loss(loss, reduction)
    if check_reduction(reduction) == "mean":
        return loss.sum() / (avg_factor + EPS)
    if reduction == "sum":
        raise UserError("avg_factor divides a sum: it goes with reduction='mean' only")
    return loss


def get_class_weight(class_weight: Sequence[float] | str | None) -> list[float] | None:
    """Class weights as a list of numbers.

    Args:
        class_weight: Numbers in class order, or a file with them: ``.npy``, ``.json``, ``.yaml``,
            ``.txt`` (numbers separated by white space).

    Raises:
        UserError: the file is missing or of another kind, or what it holds is not a list of
            non-negative numbers. Pickle files are refused, for reading one can run any program.
    """
    if class_weight is None:
        return None
    values = _read_weights(Path(class_weight)) if isinstance(class_weight, str | Path) else class_weight
    try:
        weights = [float(v) for v in values]
    except (TypeError, ValueError):
        raise UserError(f"class_weight must be a list of numbers, not {values!r}") from None
    if not weights or not all(np.isfinite(w) and w >= 0 for w in weights):
        raise UserError(f"class_weight must hold one non-negative number per class, not {weights}")
    return weights


def _read_weights(path: Path) -> object:
    readers = {".npy": _read_npy, ".json": _read_json, ".yaml": _read_yaml, ".yml": _read_yaml}
    readers[".txt"] = lambda p: p.read_text().split()
    if path.suffix not in readers:
        raise UserError(
            f"class_weight file {path} is refused: only {', '.join(readers)} are read"
            " (pickle files can run programs)"
        )
    if not path.is_file():
        raise UserError(f"class_weight file {path} does not exist")
    try:
        return readers[path.suffix](path)
    except Exception as error:
        raise UserError(f"class_weight file {path} cannot be read: {error}") from None


def _read_npy(path: Path) -> list[float]:
    return np.load(path, allow_pickle=False).ravel().tolist()


def _read_json(path: Path) -> object:
    return json.loads(path.read_text())


def _read_yaml(path: Path) -> object:
    import yaml

    return yaml.safe_load(path.read_text())


def valid_pixels(label: Tensor, ignore_index: int | None) -> Tensor:
    """The number of elements of ``label`` that count, as a tensor: no wait for the device."""
    if ignore_index is None:
        return torch.tensor(label.numel(), device=label.device)
    return (label != ignore_index).sum()
