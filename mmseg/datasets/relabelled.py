"""A data set whose masks hold other values than the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmseg.datasets.builder import DATASETS
from mmseg.datasets.custom import CustomDataset
from mmseg.utils.errors import UserError


@DATASETS.register_module()
class RelabelledDataset(CustomDataset):
    """Pairs of image and mask whose values a table turns into classes, in training and in evaluation.

    Results are written with the values of the masks again.

    Args:
        pipeline: Transforms, as for ``CustomDataset``.
        label_map: From the value in a mask (0 to 255) to the class, -1 for ignored. A value below the
            largest one that is not named is ignored; a larger one is refused, unless it is
            ``ignore_index``.
        kwargs: Those of ``CustomDataset``; ``classes`` is needed.

    Raises:
        UserError: ``label_map`` holds something else, or a class that there is not.
    """

    def __init__(self, pipeline: Any, label_map: Mapping[int, int], **kwargs: Any) -> None:
        super().__init__(pipeline, **kwargs)
        if self.CLASSES is None:
            raise UserError(f"{type(self).__name__} has no classes, which `label_map` needs; set `classes`")
        table = _checked(label_map, len(self.CLASSES), self.ignore_index)
        self.custom_classes = True
        self.label_map = {value: table.get(value, -1) for value in range(max(table) + 1)}

    def label_ids(self) -> list[int]:
        """Return the value in the mask files of each class: the smallest, where several mean one class."""
        values = {new: old for old, new in sorted(self.label_map.items(), reverse=True) if new >= 0}
        return [values.get(label, self.ignored_value) for label in range(len(self.CLASSES))]


def _checked(label_map: Any, classes: int, ignore_index: int) -> dict[int, int]:
    if not isinstance(label_map, Mapping) or not label_map:
        raise UserError(
            "`label_map` is a dictionary from mask value to class, such as {0: -1, 7: 0}, "
            f"not {label_map!r}"
        )
    table = {}
    for value, label in label_map.items():
        numbers = [int(v) if str(v).lstrip("-").isdigit() else None for v in (value, label)]
        if None in numbers or not 0 <= numbers[0] <= 255 or not -1 <= numbers[1] < classes:
            raise UserError(
                f"`label_map` turns {value!r} into {label!r}, but leads from a value of 0 to 255 to a class "
                f"of 0 to {classes - 1}, or to -1 for ignored"
            )
        if numbers[0] == ignore_index and numbers[1] >= 0:
            raise UserError(
                f"`label_map` makes {value} the class {label}, but `ignore_index` is {ignore_index} too; "
                "set `ignore_index` to a value that the masks do not hold"
            )
        table[numbers[0]] = numbers[1]
    return {value: label for value, label in table.items() if value != ignore_index} or {0: -1}
