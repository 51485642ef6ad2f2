"""Numbers of a run that several sections show, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmseg.core.evaluation.bootstrap import Bootstrap, bootstrap_scores, image_scores
from mmseg.core.evaluation.calibration import Calibration, calibration
from mmseg.core.evaluation.run_results import RunResults


@dataclass(frozen=True)
class Facts:
    """A run and what follows from its counts; None or empty where the run has no counts.

    Attributes:
        run: The results.
        prefix: Begins the ids of the run's elements.
        number: Place among the runs of the page, from 0.
        scores: Bootstrap of all scores.
        image_iou, image_acc: (N) mean IoU and share of right pixels per image.
        order: Indices of the images, worst first; those without a counted pixel are left out.
        calibration: Of all pixels; ``class_calibration`` of those predicted as each class.
        mistakes: (true class, predicted class, pixels), most pixels first.
    """

    run: RunResults
    prefix: str
    number: int
    scores: Bootstrap | None = None
    image_iou: np.ndarray = field(default_factory=lambda: np.zeros(0))
    image_acc: np.ndarray = field(default_factory=lambda: np.zeros(0))
    order: list[int] = field(default_factory=list)
    calibration: Calibration | None = None
    class_calibration: list[Calibration] = field(default_factory=list)
    mistakes: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def miou(self) -> float:
        """mIoU from 0 to 1, NaN where nobody measured it."""
        if self.scores is not None:
            return self.scores.summary["mIoU"].value
        return self.run.scores.get("mIoU", float("nan"))

    def label_share(self) -> np.ndarray:
        """Share of the counted pixels that belong to each class (C)."""
        labelled = self.run.per_image[:, 2].sum(0)
        return labelled / max(1, labelled.sum())


def gather(run: RunResults, number: int, rounds: int) -> Facts:
    """Compute the facts of a run."""
    prefix = f"r{number}-"
    if run.per_image is None:
        return Facts(run, prefix, number)
    iou, acc = image_scores(run.per_image)
    counted = [int(i) for i in np.flatnonzero(np.isfinite(iou))]
    own = {}
    if run.calibration is not None:
        own["calibration"] = calibration(run.calibration.sum(0))
        own["class_calibration"] = [calibration(counts) for counts in run.calibration]
    return Facts(
        run,
        prefix,
        number,
        scores=bootstrap_scores(run.per_image, rounds=rounds),
        image_iou=iou,
        image_acc=acc,
        order=sorted(counted, key=lambda i: (iou[i], i)),
        mistakes=_mistakes(run.confusion),
        **own,
    )


def _mistakes(confusion: np.ndarray | None) -> list[tuple[int, int, int]]:
    if confusion is None:
        return []
    off = confusion - np.diag(np.diag(confusion))
    found = [(int(t), int(p), int(off[t, p])) for t, p in zip(*np.nonzero(off), strict=True)]
    return sorted(found, key=lambda item: -item[2])


def same_test(facts: Sequence[Facts]) -> str | None:
    """Why runs cannot be compared image by image; None where they can."""
    first = facts[0].run
    for other in (f.run for f in facts):
        if other.per_image is None or first.per_image is None:
            lacking = first if first.per_image is None else other
            return f"{lacking.name} has no counts per image"
        if other.classes != first.classes:
            return f"{first.name} and {other.name} have different classes"
        if other.images != first.images:
            return f"{first.name} and {other.name} were tested on different images"
        if not np.array_equal(other.per_image[:, 2], first.per_image[:, 2]):
            return f"{first.name} and {other.name} were tested with different masks"
    return None
