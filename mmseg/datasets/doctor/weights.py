"""Class weights from how many pixels each class has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmseg.utils.errors import UserError

METHODS = ("log", "effective")


def class_weights(pixels: Sequence[float], method: str = "log", beta: float | None = None) -> np.ndarray:
    """Return one weight for each class (C,), float64, whose sum is C.

    A class without any pixel takes no part in the loss; it gets the weight 1, and the others share the
    rest.

    Args:
        pixels: Pixels of each class (C,), ignored ones left out.
        method: 'log': ``1 / log(1 + pixels)``. 'effective': ``(1 - beta) / (1 - beta ** pixels)``, the
            inverse of the effective number of samples (Cui et al., Class-Balanced Loss Based on Effective
            Number of Samples, 2019, section 3).
        beta: Of 'effective', from 0 (all classes alike) to below 1 (towards 1 over the number of pixels);
            None takes ``(N - 1) / N`` as the paper does, with N the pixels of all classes.

    Raises:
        UserError: an unknown method, ``beta`` out of range or without 'effective', a negative count, or
            no pixel at all.
    """
    counts = np.asarray(pixels, np.float64)
    if method not in METHODS:
        raise UserError(f"the method of class weights is one of {', '.join(METHODS)}, not {method!r}")
    if beta is not None and method != "effective":
        raise UserError("beta goes with method 'effective'; leave it out or choose that method")
    if beta is not None and not 0 <= beta < 1:
        raise UserError(f"beta must lie from 0 to below 1, not {beta}")
    if counts.ndim != 1 or not counts.size or not np.isfinite(counts).all() or counts.min() < 0:
        raise UserError(f"class weights need one number of pixels for each class, not {pixels!r}")
    seen = counts > 0
    if not seen.any():
        raise UserError("class weights need pixels, but no class has any; check `ann_dir` and the masks")
    weights = np.ones(len(counts))
    if method == "log":
        raw = 1 / np.log1p(counts[seen])
    else:
        raw = 1 / effective_number(counts[seen], default_beta(counts) if beta is None else beta)
    weights[seen] = raw * (seen.sum() / raw.sum())
    return weights


def default_beta(pixels: Sequence[float] | np.ndarray) -> float:
    """Return ``(N - 1) / N``, N being the pixels of all classes."""
    total = max(1.0, float(np.sum(pixels)))
    return (total - 1) / total


def effective_number(pixels: np.ndarray, beta: float) -> np.ndarray:
    """Return ``(1 - beta ** pixels) / (1 - beta)``, exact also where ``beta`` is very near 1."""
    if beta == 0:
        return np.ones_like(np.asarray(pixels, np.float64))
    return -np.expm1(np.asarray(pixels, np.float64) * np.log(beta)) / (1 - beta)
