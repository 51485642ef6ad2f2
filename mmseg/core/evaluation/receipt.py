"""The receipt of a score: what it follows from, hashed, so that anybody can check it later.

A receipt is a dictionary that JSON can hold, under the key ``receipt`` of a score file. Here are its parts
and how two of them are compared; ``mmseg.apis.receipt`` fills one in.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmseg.core.evaluation.bootstrap import scores_of_counts
from mmseg.core.evaluation.hashes import MISSING
from mmseg.core.evaluation.run_results import load_results
from mmseg.utils.errors import UserError

FORMAT = 1
# On another device or with other versions: share of the counted pixels that may fall into another place of
# the confusion matrix, and how far mIoU, mAcc and aAcc (from 0 to 1) may then differ.
PIXEL_TOLERANCE = 1e-3
SCORE_TOLERANCE = 2e-3
_SHOWN = 8


@dataclass(frozen=True)
class Counts:
    """Pixels that a score was computed from.

    Attributes:
        classes: C names.
        images: N names, in the data set's order.
        per_image: (N, 3, C) int64 pixels of intersection, prediction and label.
        confusion: (C, C) int64, rows truth, columns prediction; None where it was not kept.
    """

    classes: list[str]
    images: list[str]
    per_image: np.ndarray
    confusion: np.ndarray | None = None


def pack_counts(counts: Counts) -> dict[str, Any]:
    """Return ``counts`` as JSON can hold them; the counts per image are compressed."""
    raw = np.ascontiguousarray(counts.per_image, dtype="<i8").tobytes()
    return {
        "classes": [str(name) for name in counts.classes],
        "images": list(counts.images),
        "confusion": None if counts.confusion is None else counts.confusion.tolist(),
        "per_image": base64.b64encode(zlib.compress(raw, 6)).decode(),
    }


def unpack_counts(packed: Mapping[str, Any], path: str) -> Counts:
    """Read what :func:`pack_counts` wrote; ``path`` names the file in messages.

    Raises:
        UserError: it is damaged.
    """
    try:
        classes, images = list(packed["classes"]), list(packed["images"])
        raw = zlib.decompress(base64.b64decode(packed["per_image"], validate=True))
        per_image = np.frombuffer(raw, "<i8").astype(np.int64).reshape(len(images), 3, len(classes))
        confusion = packed["confusion"]
        if confusion is not None:
            confusion = np.array(confusion, np.int64).reshape(len(classes), len(classes))
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise UserError(
            f"{path}: the pixel counts in it are damaged ({type(error).__name__}); make the file anew with "
            "tools/test.py --eval mIoU"
        ) from None
    return Counts(classes, images, per_image, confusion)


def read_score_file(path: str) -> dict[str, Any]:
    """Read a JSON file of scores.

    Raises:
        UserError: it cannot be read or holds something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise UserError(
            f"cannot read the score file {path}: {reason}; give an eval_*.json that tools/test.py wrote"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no scores; give an eval_*.json that tools/test.py wrote")
    return content


def receipt_in(content: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the receipt of the score file ``path`` with this ``content``.

    Raises:
        UserError: it has none, or one of another version.
    """
    receipt = content.get("receipt")
    if not isinstance(receipt, dict):
        raise UserError(
            f"{path} has no receipt, so nothing can be checked; score the checkpoint anew with tools/test.py "
            "--eval mIoU"
        )
    parts = ("config", "weights", "data", "pipeline", "versions", "machine", "counts", "scores")
    if receipt.get("format") != FORMAT or not all(isinstance(receipt.get(key), dict) for key in parts):
        raise UserError(
            f"{path}: the receipt is damaged or of another version; make the file anew with tools/test.py "
            "--eval mIoU"
        )
    return receipt


def read_counts(path: str) -> Counts:
    """Read the counts per image of a score file, ``kfold.json`` or ``report_data.npz``.

    Raises:
        UserError: the file holds none.
    """
    if path.endswith(".npz"):
        results = load_results(path)
        if results.per_image is None:
            raise UserError(f"{path} holds no counts per image; make it anew with --evaluate-again")
        return Counts(results.classes, results.images, results.per_image, results.confusion)
    content = read_score_file(path)
    packed = (content.get("receipt") or content).get("counts")
    if not isinstance(packed, dict):
        raise UserError(
            f"{path} holds no counts per image; score the checkpoint anew with tools/test.py --eval mIoU"
        )
    return unpack_counts(packed, path)


def changed_inputs(
    old: Mapping[str, Any], new: Mapping[str, Any], *, moved: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Say what of a score's inputs is other than its receipt says.

    Args:
        old, new: Receipts.
        moved: Config values that were changed on demand, such as ``data.test.data_root``.

    Returns:
        Lines of what changed, and lines that are only worth knowing.
    """
    changed, notes = _changed_weights(old["weights"], new["weights"])
    changed += _changed_config(old["config"]["values"], new["config"]["values"], moved)
    lines, more = _changed_files(old["data"], new["data"])
    if old["pipeline"]["sha256"] != new["pipeline"]["sha256"]:
        lines.append("the pipeline of data.test is another one")
    return changed + lines, notes + more


def _changed_weights(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    a, b = old["tensors"], new["tensors"]
    lines, notes = [], []
    for what, names in (
        ("weights changed", [n for n in a if n in b and a[n] != b[n]]),
        ("weights are missing", [n for n in a if n not in b]),
        ("weights are new", [n for n in b if n not in a]),
    ):
        # Testing never runs an auxiliary head: a published file may leave it out.
        idle = [n for n in names if what != "weights changed" and n.startswith("auxiliary_head.")]
        names = [n for n in names if n not in set(idle)]
        if names:
            lines.append(f"{what}: {_listed(names)} ({len(names)} of {len(a)} tensors)")
        if idle:
            notes.append(f"{what}, but play no part in testing: {_listed(idle)}")
    return lines, notes


def _changed_config(a: Mapping[str, str], b: Mapping[str, str], moved: Sequence[str]) -> list[str]:
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key) and key not in moved]
    return [f"config: {key} was {a.get(key, 'not set')}, is {b.get(key, 'not set')}" for key in keys]


def _changed_files(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    lines, notes = [], []
    if len(old["parts"]) != len(new["parts"]):
        return [f"data.test was made of {len(old['parts'])} data sets, is of {len(new['parts'])}"], []
    hashed = bool(old["contents_sha256"] and new["contents_sha256"])
    if not hashed:
        notes.append("the receipt has no hashes of the files' contents: only their names are compared")
    for a, b in zip(old["parts"], new["parts"], strict=True):
        if a["kind"] != b["kind"]:
            lines.append(f"the data set was a {a['kind']}, is a {b['kind']}")
        for what in ("images", "masks"):
            names, now = a[what], b[what]
            gone, added = [n for n in names if n not in now], [n for n in now if n not in names]
            other = [n for n in names if n in now and hashed and names[n] != now[n]]
            lost = [n for n in other if now[n] == MISSING]
            for text, found in (
                ("are no longer in the list", gone),
                ("are new in the list", added),
                ("cannot be read", lost),
                ("changed", [n for n in other if now[n] != MISSING]),
            ):
                if found:
                    folder = b["img_dir" if what == "images" else "ann_dir"]
                    lines.append(f"{what} of {folder} {text}: {_listed(found)} ({len(found)})")
    if not lines and old["names_sha256"] != new["names_sha256"]:
        lines.append("the files of data.test are the same, but their order, or how often each comes, changed")
    return lines, notes


def other_place(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """How the machine or the versions differ, one line each; none where scores must agree exactly."""
    lines = []
    for section in ("versions", "machine"):
        a, b = old[section], new[section]
        for key in dict.fromkeys([*a, *b]):
            if a.get(key) != b.get(key):
                lines.append(f"{key}: was {a.get(key)}, is {b.get(key)}")
    return lines


def compare_scores(old: Counts, new: Counts, *, exact: bool) -> tuple[bool, str]:
    """Compare the confusion matrices of a receipt and of the evaluation anew.

    Args:
        exact: Every count must be equal; else up to ``PIXEL_TOLERANCE`` of the pixels may be counted
            elsewhere and the mean scores differ by up to ``SCORE_TOLERANCE``.

    Returns:
        Whether the score holds, and a line that says so.
    """
    if old.classes != new.classes:
        return False, f"the classes were {', '.join(old.classes)}, are {', '.join(new.classes)}"
    a, b = _confusion(old), _confusion(new)
    unequal = int((a != b).sum())
    total = max(1, int(a.sum()))
    share = max(abs(int(a.sum()) - int(b.sum())), int(np.abs(a - b).sum()) / 2) / total
    before, after = scores_of_counts(old.per_image.sum(0)), scores_of_counts(new.per_image.sum(0))
    told = ", ".join(
        f"{key} was {100 * before[key]:.4f}, is {100 * after[key]:.4f}" for key in ("mIoU", "mAcc", "aAcc")
    )
    rows = [i for i in range(min(len(old.images), len(new.images)))]
    images = [new.images[i] for i in rows if not np.array_equal(old.per_image[i], new.per_image[i])]
    if unequal == 0 and not images and len(old.images) == len(new.images):
        return True, f"the scores are the same: all {len(a) ** 2} counts of {total} pixels are equal ({told})"
    where = f"{100 * share:.4f} % of the pixels are counted elsewhere, in {len(images)} images"
    if images:
        where += f" ({_listed(images)})"
    if exact:
        return False, f"the scores differ: {where}; {told}"
    gap = max(_gap(before[key], after[key]) for key in ("mIoU", "mAcc", "aAcc"))
    holds = share <= PIXEL_TOLERANCE and gap <= SCORE_TOLERANCE
    limit = f"allowed here: {100 * PIXEL_TOLERANCE:g} % and {100 * SCORE_TOLERANCE:g} points"
    return holds, f"the scores {'agree' if holds else 'differ'}: {where}; {told}; {limit}"


def _gap(a: float, b: float) -> float:
    """How far two scores are apart: nothing where neither is defined, everything where one is not."""
    if np.isnan(a) or np.isnan(b):
        return 0.0 if np.isnan(a) and np.isnan(b) else 1.0
    return abs(float(a) - float(b))


def _confusion(counts: Counts) -> np.ndarray:
    if counts.confusion is not None:
        return counts.confusion
    return np.diag(counts.per_image[:, 0].sum(0))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
