"""The rival of a network on the toy data: what colour alone tells about the class of a pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

NUM_CLASSES = 19


def read_split(root: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all pixels of a split: colours (N, 3) float32 and train ids (N,) uint8."""
    images = [np.array(Image.open(f)).reshape(-1, 3) for f in sorted((root / "img_dir" / split).iterdir())]
    labels = [np.array(Image.open(f)).ravel() for f in sorted((root / "ann_dir" / split).iterdir())]
    return np.concatenate(images).astype(np.float32), np.concatenate(labels)


def nearest_colour_miou(root: Path) -> float:
    """Give each held-out pixel the class whose mean colour in training is nearest; return the mIoU."""
    colours, labels = read_split(root, "train")
    means = np.stack([colours[labels == c].mean(0) for c in range(NUM_CLASSES)])
    colours, labels = read_split(root, "val")
    return _miou(np.stack([((colours - m) ** 2).sum(1) for m in means]).argmin(0), labels)


def gaussian_colour_miou(root: Path) -> float:
    """The same with a Gaussian of full covariance for each class: the likeliest one."""
    colours, labels = read_split(root, "train")
    held_out, truth = read_split(root, "val")
    scores = []
    for c in range(NUM_CLASSES):
        own = colours[labels == c]
        spread = np.cov(own.T) + np.eye(3)
        off = held_out - own.mean(0)
        distance = ((off @ np.linalg.inv(spread)) * off).sum(1)
        scores.append(-0.5 * distance - 0.5 * np.log(np.linalg.det(spread)))
    return _miou(np.stack(scores).argmax(0), truth)


def _miou(prediction: np.ndarray, truth: np.ndarray) -> float:
    counted = truth != 255
    joint = truth[counted].astype(np.int64) * NUM_CLASSES + prediction[counted]
    confusion = np.bincount(joint, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)
    hits = np.diag(confusion)
    return float((hits / np.maximum(confusion.sum(0) + confusion.sum(1) - hits, 1)).mean())
