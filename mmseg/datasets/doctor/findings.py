"""What a finding is, which kinds there are, and which is worse than which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)

# Worst first: kind and what it is called, for one and for several.
KINDS = {
    "unreadable": ("unreadable file", "unreadable files"),
    "truncated": ("truncated or damaged file", "truncated or damaged files"),
    "missing_image": ("missing image", "missing images"),
    "image_without_mask": ("image without mask", "images without mask"),
    "size_mismatch": ("mask of another size than its image", "masks of another size than their images"),
    "rgb_mask": ("mask in colour (several channels)", "masks in colour (several channels)"),
    "binary_mask": ("mask of 0 and 255", "masks of 0 and 255"),
    "bad_value": ("mask with a value outside the classes", "masks with values outside the classes"),
    "num_classes": ("head with another number of classes", "heads with another number of classes"),
    "leak": ("image of one split in another", "images of one split in another"),
    "class_never_seen": ("class that is never seen", "classes that are never seen"),
    "mask_without_image": ("mask without image", "masks without image"),
    "duplicate": ("image that comes more than once", "images that come more than once"),
    "constant_image": ("image of one single value", "images of one single value"),
    "nothing_labelled": ("mask in which everything is ignored", "masks in which everything is ignored"),
    "reduce_zero_label": ("contradiction in the config", "contradictions in the config"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: A key of ``KINDS``.
        severity: ``error`` where training or testing would fail or read a damaged file, ``warning`` where
            it would learn or measure something wrong, ``note`` where that is only possible.
        splits: The splits that it is found in.
        file: The file, or what else it is about (a class, a key of the config).
        value: What is wrong with it, with the actual numbers.
        count: How much of it: pixels of a wrong value, copies of a duplicate, 1 for a whole file.
        remedy: What to do.
        others: Further files that belong to it.
    """

    kind: str
    severity: str
    splits: tuple[str, ...]
    file: str
    value: str
    count: int
    remedy: str
    others: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON can hold it."""
        return {**asdict(self), "splits": list(self.splits), "others": list(self.others)}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Join findings that differ only in their splits, and sort: by severity, kind and count."""
    joined: dict[Finding, tuple[str, ...]] = {}
    for finding in findings:
        anywhere = replace(finding, splits=())
        joined[anywhere] = tuple(dict.fromkeys((*joined.get(anywhere, ()), *finding.splits)))
    order = list(KINDS)
    return sorted(
        (replace(finding, splits=splits) for finding, splits in joined.items()),
        key=lambda f: (SEVERITIES.index(f.severity), order.index(f.kind), -f.count),
    )
