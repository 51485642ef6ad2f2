"""Cityscapes' official scores of result files, through cityscapesScripts."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmseg.utils.errors import UserError

INSTALL = 'pip install -e ".[cityscapes]"'


def official_scripts() -> Any:
    """Import the module of cityscapesScripts that scores label maps.

    Raises:
        UserError: it is not installed.
    """
    try:
        import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as scripts
    except ImportError as error:
        raise UserError(
            f"the official scores of Cityscapes need cityscapesScripts ({error}): {INSTALL}"
        ) from None
    if not hasattr(np, "in1d"):
        scripts.np = _NumpyWithIn1d()  # NumPy 2.4 took away a function that version 2.3 still calls
    return scripts


def official_scores(predictions: Sequence[str], truths: Sequence[str], instances: bool) -> dict[str, Any]:
    """Score files of label ids against files of label ids.

    Args:
        predictions: PNG files of label ids (0 to 33).
        truths: Their ``*labelIds.png``.
        instances: Also the scores of instances, from the ``*instanceIds.png`` beside ``truths``; else these
            are NaN.

    Returns:
        What cityscapesScripts returns: ``classScores`` (by name, from 0 to 1, NaN where a class never
        occurs), ``averageScoreClasses``, ``categoryScores``, ``averageScoreCategories``,
        ``classInstScores``, ``confMatrix``, ...

    Raises:
        UserError: it is not installed, or refuses a file.
    """
    scripts = official_scripts()
    settings = copy.copy(scripts.args)
    settings.evalInstLevelScore = instances
    settings.evalPixelAccuracy = False
    settings.JSONOutput = False
    settings.quiet = True
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return scripts.evaluateImgLists(list(predictions), list(truths), settings)
    except SystemExit:  # its way to report a mistake
        reason = (said.getvalue().strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
        raise UserError(f"cityscapesScripts refuses the results: {reason}") from None


def official_truth(masks: Sequence[str]) -> tuple[list[str], bool] | None:
    """Return the ``*labelIds.png`` beside masks of train ids, and whether all have ``*instanceIds.png`` too.

    None where a mask has none.
    """
    truths = [mask.replace("_labelTrainIds.png", "_labelIds.png") for mask in masks]
    if any(truth == mask or not os.path.isfile(truth) for truth, mask in zip(truths, masks, strict=True)):
        return None
    return truths, all(os.path.isfile(t.replace("labelIds", "instanceIds")) for t in truths)


class _NumpyWithIn1d:
    in1d = staticmethod(np.isin)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)
