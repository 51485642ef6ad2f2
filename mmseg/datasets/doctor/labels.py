"""What the values of a mask mean to a data set: a class, ignored, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmseg.datasets.doctor.listing import Part

IGNORED, BAD = -1, -2


@dataclass(frozen=True)
class Meaning:
    """How a data set reads the values of its masks; the same rules as ``LoadAnnotations`` follows.

    Attributes:
        num_classes: Number of classes.
        values: How many values a mask may hold besides the ignored one, from 0 (or 1); the number of
            classes, unless only some of the data set's own classes are used.
        ignore_index: Value that does not count.
        reduce_zero_label: 0 does not count, and classes are counted from 1.
        label_map: From the value to the class, -1 for one left out; empty where they are the same.
        binary: Masks of background (0) and foreground (255 or 1).
    """

    num_classes: int
    values: int
    ignore_index: int
    reduce_zero_label: bool = False
    label_map: tuple[tuple[int, int], ...] = ()
    binary: bool = False

    @classmethod
    def of(cls, part: Part) -> Meaning:
        """How the data set of ``part`` reads its masks."""
        dataset = part.dataset
        own = dataset.label_map if getattr(dataset, "custom_classes", False) else None
        ignored = getattr(dataset, "_ignored_in_masks", getattr(dataset, "ignore_index", 255))
        return cls(
            num_classes=part.num_classes,
            values=len(own) if own else part.num_classes,
            ignore_index=ignored,
            reduce_zero_label=part.reduce_zero_label,
            label_map=tuple(own.items()) if own else (),
            binary=getattr(dataset, "task", None) == "binary",
        )

    def of_value(self, value: int) -> int:
        """Return the class of a value, ``IGNORED`` or ``BAD``."""
        if self.binary:
            if value in (0, 1, 255):
                return int(value != 0)
            return IGNORED if value == self.ignore_index else BAD
        if not 0 <= value <= 255:
            return BAD
        label = value
        if self.reduce_zero_label:
            label = self.ignore_index if value in (0, 255) else value - 1
        if label == self.ignore_index:
            return IGNORED
        if label >= self.values:
            return BAD
        if self.label_map:
            return max(dict(self.label_map).get(label, label), IGNORED)
        return label

    def expected(self) -> str:
        """The values that a mask may hold, in words."""
        if self.binary:
            extra = "" if self.ignore_index == 255 else f", {self.ignore_index} for ignored"
            return f"0 (background), 255 or 1 (foreground){extra}"
        if self.reduce_zero_label:
            return f"1 to {self.values}, or 0 for ignored"
        return f"0 to {self.values - 1}, or {self.ignore_index} for ignored"

    def count(self, values: Mapping[str, int]) -> np.ndarray:
        """Return how many pixels each class has (C,), int64, of a mask's values and their pixels."""
        pixels = np.zeros(self.num_classes, np.int64)
        for value, number in values.items():
            label = self.of_value(int(value))
            if label >= 0:
                pixels[label] += number
        return pixels


def is_black_and_white(values: Mapping[str, Any]) -> bool:
    """Whether a mask holds 0 and 255 and nothing else."""
    return set(values) == {"0", "255"}
