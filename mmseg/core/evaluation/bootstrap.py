"""How sure a score is: bootstrap over images (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

Pixels of an image are not independent, images nearly are; so whole images are drawn with replacement. What
a score needs of an image are its counts (3, C): pixels of intersection, prediction and label per class, as
the evaluator keeps them in ``Evaluation.per_image``. Drawing images is then a product of matrices.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmseg.utils.errors import UserError

ROUNDS = 2000
SUMMARY = ("mIoU", "mAcc", "aAcc")
# Resamples computed at once: (rounds, 3, C) float64 stays small with many classes.
_AT_ONCE = 256


@dataclass(frozen=True)
class Interval:
    """A score with its percentile interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """Scores of one set of predictions, all from 0 to 1.

    Attributes:
        summary: ``mIoU``, ``mAcc``, ``aAcc``.
        per_class: ``IoU``, ``Acc``, ``Precision``, ``Fscore``, each with C intervals.
        num_images: N, the number of images that were drawn each time.
    """

    summary: dict[str, Interval]
    per_class: dict[str, list[Interval]]
    num_images: int
    rounds: int
    level: float


@dataclass(frozen=True)
class PairedBootstrap:
    """How much A scores above B on the same images; scores from 0 to 1.

    Attributes:
        summary: Difference A - B of ``mIoU``, ``mAcc`` and ``aAcc``.
        per_class: Difference of each class's IoU (C).
        p_values: Two-sided, per key of ``summary``: twice the share of resamples in which the difference
            has the other sign, at least ``2 / (rounds + 1)``.
        better: Per key of ``summary`` the share of resamples in which A scores above B.
        better_per_class: The same of each class's IoU (C); NaN for one that no resample holds.
    """

    summary: dict[str, Interval]
    per_class: list[Interval]
    p_values: dict[str, float]
    num_images: int
    rounds: int
    level: float
    better: dict[str, float]
    better_per_class: list[float]


def scores_of_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of pixel counts (..., 3, C): intersection, prediction, label.

    Returns:
        ``IoU``, ``Acc``, ``Precision`` and ``Fscore`` (..., C), NaN where they would be 0/0, and ``mIoU``,
        ``mAcc`` (means without NaN) and ``aAcc`` (...). All float64.
    """
    counts = np.asarray(counts, np.float64)
    both, predicted, labelled = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN
        scores = {
            "IoU": both / (predicted + labelled - both),
            "Acc": both / labelled,
            "Precision": both / predicted,
            "Fscore": 2 * both / (predicted + labelled),
        }
        scores["mIoU"] = np.nanmean(scores["IoU"], axis=-1)
        scores["mAcc"] = np.nanmean(scores["Acc"], axis=-1)
        scores["aAcc"] = both.sum(-1) / labelled.sum(-1)
    return scores


def image_scores(per_image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean IoU over the classes that an image or its prediction holds, and share of right pixels, (N) each.

    Args:
        per_image: (N, 3, C) pixel counts. An image without a counted pixel gets NaN.
    """
    scores = scores_of_counts(per_image)
    return scores["mIoU"], scores["aAcc"]


def draws(num_images: int, rounds: int = ROUNDS, seed: int = 0) -> np.ndarray:
    """How often each image is drawn in each round: (rounds, N) float64, every row sums to N."""
    rng = np.random.default_rng(seed)
    even = np.full(num_images, 1 / num_images)
    return rng.multinomial(num_images, even, size=rounds).astype(np.float64)


def bootstrap_scores(
    per_image: np.ndarray, *, rounds: int = ROUNDS, level: float = 0.95, seed: int = 0
) -> Bootstrap:
    """Scores with percentile intervals over images.

    Args:
        per_image: (N, 3, C) pixel counts.
        rounds: Resamples.
        level: Share of the resamples inside the interval.
        seed: Of the draws; the same seed draws the same images of any N equal N.

    Raises:
        UserError: there are no images, or ``rounds`` or ``level`` make no sense.
    """
    per_image = _checked(per_image, rounds, level)
    point = scores_of_counts(per_image.sum(0))
    spread = _resampled(per_image, draws(len(per_image), rounds, seed))
    return Bootstrap(
        summary={key: _intervals(point[key][None], spread[key][:, None], level)[0] for key in SUMMARY},
        per_class={
            key: _intervals(point[key], spread[key], level) for key in ("IoU", "Acc", "Precision", "Fscore")
        },
        num_images=len(per_image),
        rounds=rounds,
        level=level,
    )


def paired_bootstrap(
    per_image_a: np.ndarray,
    per_image_b: np.ndarray,
    *,
    rounds: int = ROUNDS,
    level: float = 0.95,
    seed: int = 0,
) -> PairedBootstrap:
    """Test whether A scores differently from B on the same images.

    Each round draws the same images for both, so that an image that is hard for both does not blur the
    difference.

    Args:
        per_image_a, per_image_b: (N, 3, C) pixel counts of the same N images in the same order.
        rounds, level, seed: As for :func:`bootstrap_scores`.

    Raises:
        UserError: the two do not belong together: another number of images or classes, or other masks.
    """
    a, b = _checked(per_image_a, rounds, level), _checked(per_image_b, rounds, level)
    if a.shape != b.shape:
        raise UserError(
            f"a paired test needs the same images and classes for both: {a.shape[0]} images of {a.shape[2]} "
            f"classes against {b.shape[0]} of {b.shape[2]}"
        )
    differing = np.flatnonzero((a[:, 2] != b[:, 2]).any(axis=1))
    if len(differing):
        raise UserError(
            f"a paired test needs the same masks for both: those of {len(differing)} of {len(a)} images "
            f"differ, the first is image {differing[0]}"
        )
    weights = draws(len(a), rounds, seed)
    point_a, point_b = scores_of_counts(a.sum(0)), scores_of_counts(b.sum(0))
    spread_a, spread_b = _resampled(a, weights), _resampled(b, weights)
    point = {key: np.atleast_1d(point_a[key] - point_b[key]) for key in (*SUMMARY, "IoU")}
    spread = {key: spread_a[key] - spread_b[key] for key in (*SUMMARY, "IoU")}
    return PairedBootstrap(
        summary={key: _intervals(point[key], spread[key][:, None], level)[0] for key in SUMMARY},
        per_class=_intervals(point["IoU"], spread["IoU"], level),
        p_values={key: two_sided_p(spread[key]) for key in SUMMARY},
        num_images=len(a),
        rounds=rounds,
        level=level,
        better={key: share_above(spread[key]) for key in SUMMARY},
        better_per_class=[share_above(column) for column in spread["IoU"].T],
    )


def two_sided_p(differences: np.ndarray) -> float:
    """Twice the smaller share of resampled differences (B) on either side of 0, zeros on both; at most 1."""
    finite = differences[np.isfinite(differences)]
    below, above = int((finite <= 0).sum()), int((finite >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(finite) + 1))


def share_above(differences: np.ndarray) -> float:
    """Share of the resampled differences (B) that are above 0; those that are NaN are left out."""
    finite = differences[np.isfinite(differences)]
    return float((finite > 0).mean()) if len(finite) else float("nan")


def _resampled(per_image: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    flat = per_image.reshape(len(per_image), -1).astype(np.float64)
    parts = []
    for start in range(0, len(weights), _AT_ONCE):
        counts = weights[start : start + _AT_ONCE] @ flat
        parts.append(scores_of_counts(counts.reshape(-1, *per_image.shape[1:])))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _intervals(point: np.ndarray, spread: np.ndarray, level: float) -> list[Interval]:
    """Percentile intervals of ``spread`` (B, K) around ``point`` (K); resamples with NaN are left out."""
    edges = (50 * (1 - level), 50 * (1 + level))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that no resample holds
        low, high = np.nanpercentile(spread, edges, axis=0)
    return [Interval(*map(float, item)) for item in zip(point, low, high, strict=True)]


def _checked(per_image: Sequence[np.ndarray] | np.ndarray, rounds: int, level: float) -> np.ndarray:
    per_image = np.asarray(per_image)
    if per_image.ndim != 3 or per_image.shape[1] != 3 or len(per_image) == 0:
        raise UserError(
            f"a bootstrap needs the counts of at least one image, (N, 3, C), not {per_image.shape}"
        )
    if rounds < 1 or not 0 < level < 1:
        raise UserError(
            f"a bootstrap of {rounds} rounds at level {level} is none; rounds from 1, level in (0, 1)"
        )
    return per_image
