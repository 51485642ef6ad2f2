"""Scores as users read them: one flat dictionary, two tables, and JSON."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmseg.utils.errors import UserError


def eval_results(ret_metrics: Mapping[str, np.ndarray], class_names: Sequence[str]) -> dict[str, float]:
    """Flatten the result of ``eval_metrics`` into ``aAcc``, ``mIoU``, ``IoU.road``, ... from 0 to 1.

    A mean leaves out the classes whose score is NaN; NaN stays where a class never occurs.

    Args:
        ret_metrics: ``aAcc`` (a scalar) and arrays (C,) such as ``IoU``.
        class_names: The C names.

    Raises:
        UserError: the number of names is not C.
    """
    per_class = _per_class(ret_metrics, class_names)
    flat = dict(_summary(ret_metrics, per_class))
    for key, scores in per_class.items():
        flat.update({f"{key}.{name}": float(v) for name, v in zip(class_names, scores, strict=True)})
    return flat


def class_table(ret_metrics: Mapping[str, np.ndarray], class_names: Sequence[str]) -> str:
    """Draw a table with a row per class and, under it, one with the means; plain text, in percent.

    Args:
        ret_metrics: ``aAcc`` (a scalar) and arrays (C,) such as ``IoU``.
        class_names: The C names.

    Raises:
        UserError: the number of names is not C.
    """
    per_class = _per_class(ret_metrics, class_names)
    summary = _summary(ret_metrics, per_class)
    rows = [
        [str(name), *(_percent(scores[i]) for scores in per_class.values())]
        for i, name in enumerate(class_names)
    ]
    classes = _draw(["Class", *per_class], rows)
    means = _draw(list(summary), [[_percent(v) for v in summary.values()]])
    return f"per class results:\n\n{classes}\n\nSummary:\n\n{means}\n"


def json_ready(results: Any) -> Any:
    """Return ``results`` as JSON can hold it: NaN and infinities become None, arrays become lists."""
    if isinstance(results, Mapping):
        return {str(key): json_ready(value) for key, value in results.items()}
    if isinstance(results, list | tuple):
        return [json_ready(value) for value in results]
    if hasattr(results, "tolist"):  # arrays, tensors and numpy scalars
        return json_ready(results.tolist())
    if isinstance(results, float):
        return results if math.isfinite(results) else None
    return results


def _per_class(ret_metrics: Mapping[str, np.ndarray], class_names: Sequence[str]) -> dict[str, np.ndarray]:
    per_class = {key: np.asarray(v, np.float64) for key, v in ret_metrics.items() if key != "aAcc"}
    for key, scores in per_class.items():
        if len(scores) != len(class_names):
            raise UserError(
                f"{key} was computed for {len(scores)} classes, but the data set names {len(class_names)};"
                " num_classes of the model and CLASSES of the data set must agree"
            )
    return per_class


def _summary(ret_metrics: Mapping[str, np.ndarray], per_class: dict[str, np.ndarray]) -> dict[str, float]:
    summary = {"aAcc": float(ret_metrics["aAcc"])} if "aAcc" in ret_metrics else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN, as it should be
        summary.update({f"m{key}": float(np.nanmean(scores)) for key, scores in per_class.items()})
    return summary


def _percent(score: float) -> str:
    return f"{100 * score:.2f}"


def _draw(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ASCII2)
    for i, name in enumerate(header):
        left = i == 0 and name == "Class"
        table.add_column(Text(name), justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    # A wide console without colours: the same text in a log file, a pipe and a narrow terminal.
    console = Console(
        file=io.StringIO(), force_jupyter=False, width=10_000, color_system=None, force_terminal=False
    )
    console.print(table)
    return console.file.getvalue().rstrip("\n")
