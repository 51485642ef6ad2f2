"""Writing predicted label maps as files for a benchmark's server."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mmseg.utils.errors import UserError


def write_label_map(
    path: str,
    labels: np.ndarray,
    values: Sequence[int],
    ignore_index: int = 255,
    ignored_value: int = 255,
    colours: Sequence[Sequence[int]] | None = None,
) -> None:
    """Write a label map as PNG, making its folder.

    Args:
        path: The file.
        labels: (H, W) classes, 0 to ``len(values) - 1``, or ``ignore_index``.
        values: What the file holds for each class; 16 bits where one is above 255, else 8.
        ignore_index: Label of no class.
        ignored_value: What the file holds for it.
        colours: RGB of each class: the file has a palette then, and looks coloured in a viewer.

    Raises:
        UserError: a label is no class.
    """
    labels = np.asarray(labels)
    ignored = labels == ignore_index
    classes = np.where(ignored, 0, labels)
    if classes.size and not 0 <= classes.min() <= classes.max() < len(values):
        bad = classes.min() if classes.min() < 0 else classes.max()
        raise UserError(
            f"the label map for {path} holds {bad}, but with {len(values)} classes a label is "
            f"0 to {len(values) - 1}; was the model trained on another data set?"
        )
    kind = np.uint8 if max(values) < 256 else np.uint16
    image = Image.fromarray(np.where(ignored, ignored_value, np.array(values)[classes]).astype(kind))
    if colours is not None:
        palette = np.zeros((256, 3), np.uint8)
        palette[list(values)] = colours
        image.putpalette(palette.ravel().tolist())
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    image.save(path)
