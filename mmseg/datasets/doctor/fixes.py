"""What a config should say so that masks with other values than the classes can be used as they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mmseg.conversion.label_ids import LABEL_IDS
from mmseg.datasets.doctor.labels import BAD, Meaning

_LAST_ID = 33


@dataclass(frozen=True)
class Fix:
    """One way to read the values of the masks.

    Attributes:
        kind: 'binary', 'reduce_zero_label', 'ignore_index' or 'label_map'.
        why: A sentence for the user.
        ignore_index: For 'ignore_index'.
        label_map: For 'label_map', from the value to the class, -1 for ignored.
    """

    kind: str
    why: str
    ignore_index: int | None = None
    label_map: tuple[tuple[int, int], ...] = ()


def find_fix(meaning: Meaning, values: Counter[int]) -> Fix | None:
    """Return the reading under which all ``values`` (with their pixels) have a meaning, or None.

    None also where they have one already. It is a guess from the values alone: look at it.
    """
    present = set(values)
    bad = sorted(v for v in present if meaning.of_value(v) == BAD)
    classes = meaning.num_classes
    if meaning.binary or meaning.label_map or meaning.reduce_zero_label:
        return None
    if classes == 2 and present == {0, 255}:
        return Fix("binary", "the masks hold 0 and 255: background and foreground")
    if not bad or not all(0 <= v <= 255 for v in bad):
        return None
    if classes == 19 and present <= {*range(_LAST_ID + 1), 255}:
        ids = {value: -1 for value in range(_LAST_ID + 1)}
        ids.update({value: train_id for train_id, value in enumerate(LABEL_IDS)})
        why = "the masks hold label ids of Cityscapes or KITTI (tools/convert_datasets turns them for good)"
        return Fix("label_map", why, label_map=tuple(ids.items()))
    if bad == [classes] and 0 not in present:
        return Fix("reduce_zero_label", "the masks count the classes from 1")
    others = present - {meaning.ignore_index}
    if len(bad) == 1 and meaning.ignore_index not in present and set(range(classes)) <= present:
        why = f"besides the classes the masks hold {bad[0]}, and never {meaning.ignore_index}"
        return Fix("ignore_index", why, ignore_index=bad[0])
    if len(others) == classes and 2 * len(bad) >= classes:  # another coding, not a few wrong pixels
        why = "the masks hold as many values as there are classes; this takes them in their order"
        return Fix("label_map", why, label_map=tuple((v, i) for i, v in enumerate(sorted(others))))
    keep = {value: value for value in range(classes)}
    why = "values that are no class are read as ignored; correct the masks if they should mean something"
    return Fix("label_map", why, label_map=tuple({**keep, **{value: -1 for value in bad}}.items()))
