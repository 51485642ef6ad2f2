"""A stand-in for cityscapesScripts: its interface, and the scores that its documentation defines."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

MODULE = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
# Names of the label ids 0 to 33; those without a name here are not evaluated.
EVALUATED = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
    27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip


def evaluate_files(predictions: list[str], truths: list[str], settings: Any) -> dict[str, Any]:
    """Score files of label ids as ``evaluateImgLists`` does."""
    matrix = np.zeros((34, 34), np.int64)
    for predicted, true in zip(predictions, truths, strict=True):
        guess, truth = (np.array(Image.open(path)).astype(np.int64) for path in (predicted, true))
        if guess.shape != truth.shape:
            print(f"ERROR: Image widths of {predicted} and {true} are not equal.")
            sys.exit(-1)
        matrix += np.bincount((truth * 34 + guess).ravel(), minlength=34 * 34).reshape(34, 34)
    scores = {}
    for label, name in EVALUATED.items():
        rows = [other for other in EVALUATED if other != label]  # pixels of no evaluated class do not count
        union = matrix[label].sum() + matrix[rows, label].sum()
        scores[name] = matrix[label, label] / union if union else float("nan")
    return dict(
        classScores=scores,
        averageScoreClasses=float(np.nanmean(list(scores.values()))),
        classInstScores=dict.fromkeys(scores, 0.5 if settings.evalInstLevelScore else float("nan")),
    )


def install(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str], Any]]:
    """Put the stand-in in the place of cityscapesScripts; return the calls that it will get."""
    calls = []

    def evaluate(predictions: list[str], truths: list[str], settings: Any) -> dict[str, Any]:
        calls.append((predictions, truths, settings))
        return evaluate_files(predictions, truths, settings)

    args = SimpleNamespace(evalInstLevelScore=True, evalPixelAccuracy=False, JSONOutput=True, quiet=False)
    module = ModuleType(MODULE)
    module.args, module.evaluateImgLists = args, evaluate
    parts = MODULE.split(".")
    for i in range(1, len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), ModuleType(".".join(parts[:i])))
    monkeypatch.setitem(sys.modules, MODULE, module)
    for i in range(1, len(parts)):
        setattr(sys.modules[".".join(parts[:i])], parts[i], sys.modules[".".join(parts[: i + 1])])
    return calls


def remove(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make cityscapesScripts look as if it were not installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "cityscapesscripts"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cityscapesscripts", None)
