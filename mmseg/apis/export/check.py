"""Whether an exported file computes what the model computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from mmseg.apis.export.describe import Preprocessing
from mmseg.apis.export.formats import Run
from mmseg.apis.export.graph import ExportedSegmentor
from mmseg.utils.errors import UserError


@dataclass(frozen=True)
class Difference:
    """How far a file's outcome for one input is from PyTorch's.

    Attributes:
        batch, hw: Number and size of the images.
        largest_logit: Largest absolute value of PyTorch's logits.
        largest: Largest absolute difference of logits; of label maps, how much lower PyTorch's logit of the
            chosen class is than its highest (so 0 where all labels are equal).
        labels: Share of pixels with the same class.
    """

    batch: int
    hw: tuple[int, int]
    largest_logit: float
    largest: float
    labels: float

    @property
    def relative(self) -> float:
        """:attr:`largest`, in units of the largest logit if that is above 1."""
        return self.largest / max(1.0, self.largest_logit)


def sizes_to_check(hw: tuple[int, int], divisor: int, smallest: int) -> list[tuple[int, tuple[int, int]]]:
    """(batch, (h, w)) of the inputs to check: the size asked for, a smaller one, and a slim one.

    No side but those asked for is below ``smallest``, and all divide by ``divisor``.
    """

    def side(length: float, least: float) -> int:
        whole = max(round(length), round(least))
        # Odd sides show what even ones hide: padding, rounding of sizes.
        return whole | 1 if divisor == 1 else -(-whole // divisor) * divisor

    smaller = side(0.75 * hw[0], smallest), side(0.6 * hw[1], smallest)
    slim = side(0.5 * hw[0], smallest), side(1.1 * hw[1], 1.25 * smallest)
    return [(1, hw), (2, smaller), (1, slim)]


def inputs_of(
    module: ExportedSegmentor,
    preprocessing: Preprocessing,
    sizes: Sequence[tuple[int, tuple[int, int]]],
    picture: np.ndarray | None = None,
) -> Iterator[Tensor]:
    """Inputs of the module at ``sizes``: normal noise (grey levels with the normalisation built in).

    Args:
        picture: BGR (H, W, C) uint8, taken in place of noise, resized.
    """
    channels = len(preprocessing.mean)
    rng = np.random.default_rng(0)
    for batch, (h, w) in sizes:
        if picture is not None:
            levels = cv2.resize(picture, (w, h), interpolation=cv2.INTER_LINEAR).reshape(1, h, w, -1)
            images = np.repeat(levels, batch, axis=0)
            images[1::2] = images[1::2, :, ::-1]  # mirrored, so that a batch holds different images
        elif module.normalises:
            images = rng.integers(0, 256, (batch, h, w, channels), dtype=np.uint8)
        else:
            yield torch.from_numpy(rng.standard_normal((batch, channels, h, w), dtype=np.float32))
            continue
        yield torch.from_numpy(
            np.ascontiguousarray(images if module.normalises else prepared(images, preprocessing))
        )


def prepared(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """BGR images (N, H, W, C) uint8, normalised: (N, C, H, W) float32."""
    if preprocessing.to_rgb and images.shape[3] == 3:
        images = images[..., ::-1]
    levels = (images.astype(np.float32) - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
    return levels.transpose(0, 3, 1, 2)


def read_picture(path: str, channels: int) -> np.ndarray:
    """The image of ``--input-img``, BGR (H, W, 3) uint8.

    Raises:
        UserError: it is none, or the model takes other images than colour images.
    """
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise UserError(f"--input-img {path} is missing or is no image that OpenCV can read")
    if channels != 3:
        raise UserError(f"--input-img has 3 channels, but the model takes {channels}; leave it out")
    return picture


@torch.no_grad()
def compare(module: ExportedSegmentor, run: Run, image: Tensor) -> Difference:
    """Compare what ``run`` gives for ``image`` with what ``module`` gives."""
    argmax, module.argmax = module.argmax, False
    try:
        logits = module(image)
    finally:
        module.argmax = argmax
    batch, hw = len(image), (logits.shape[2], logits.shape[3])
    given = run(image)
    expected_shape = (batch, *hw) if argmax else tuple(logits.shape)
    largest_logit = float(logits.abs().max())
    if tuple(given.shape) != expected_shape:
        return Difference(batch, hw, largest_logit, float("inf"), 0.0)
    labels = module.labels_of(logits)
    theirs = given if argmax else module.labels_of(given)
    largest = _regret(module, logits, theirs) if argmax else float((given - logits).abs().max())
    same = float((labels == theirs).double().mean())
    return Difference(batch, hw, largest_logit, float("inf") if largest != largest else largest, same)


def _regret(module: ExportedSegmentor, logits: Tensor, labels: Tensor) -> float:
    if int(labels.min()) < 0 or int(labels.max()) >= max(2, logits.shape[1]):
        return float("inf")
    if module.threshold is not None:
        border = float(torch.logit(torch.tensor(module.threshold, dtype=torch.float64)))
        apart = labels != module.labels_of(logits)
        return float((logits[:, 0] - border).abs()[apart].max()) if bool(apart.any()) else 0.0
    chosen = logits.gather(1, labels[:, None])[:, 0]
    return float((logits.amax(1) - chosen).max())


def table(differences: Sequence[Difference]) -> str:
    """The differences as lines of text."""
    rows = [("batch", "height x width", "largest logit", "largest difference", "same class")]
    for d in differences:
        size = f"{d.hw[0]} x {d.hw[1]}"
        rows.append(
            (str(d.batch), size, f"{d.largest_logit:.3g}", f"{d.largest:.2e}", f"{100 * d.labels:.4f} %")
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
