"""What the loop asks of a writer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmseg.registry import Registry
from mmseg.utils.logger import get_root_logger

if TYPE_CHECKING:
    from mmseg.engine.evaluator import Evaluation
    from mmseg.engine.writers.examples import Example

WRITERS = Registry("log hook")

_NOT_CURVES = ("mode", "epoch", "iter", "max_iters", "by_epoch", "inner_iter", "iters_per_epoch", "eta")


class Writer:
    """Receives one record per log interval and per evaluation; used on rank 0 only.

    A record holds ``mode`` (``train`` or ``val``), ``epoch``, ``iter``, ``lr`` and numbers by name.

    Attributes:
        interval: Iterations between the training records that this writer takes; None takes all.
        num_eval_images: Validation images that ``evaluation`` wants; with 0 nobody keeps any.
    """

    interval: int | None = None
    num_eval_images: int = 0

    def start(self, run: Mapping[str, Any]) -> None:
        """Before the first record.

        ``run`` has ``work_dir``, ``timestamp``, ``config``, ``meta`` and ``iter``, the finished
        iterations: above 0 the run was resumed.
        """

    def write(self, record: Mapping[str, Any]) -> None:
        """Take one record."""

    def evaluation(self, record: Mapping[str, Any], result: Evaluation, examples: Sequence[Example]) -> None:
        """After the record of an evaluation: its whole result, and the same few images each time."""

    def checkpoint(self, path: str, info: Mapping[str, Any]) -> None:
        """After ``path`` was saved; ``info`` has ``iter``, ``epoch`` and ``best`` (``key, score, file``)."""

    def close(self) -> None:
        """After the last record."""

    def is_due(self, record: Mapping[str, Any]) -> bool:
        """Whether ``record`` is for this writer; only training records are left out, by ``interval``."""
        if not self.interval or record["mode"] != "train" or record["iter"] == record.get("max_iters"):
            return True
        count = record["inner_iter"] if record.get("by_epoch") else record["iter"]
        return count % self.interval == 0


class TolerantWriter(Writer):
    """A writer that must never stop a run: its first failure is logged in one line and it falls silent.

    A subclass has ``_start``, ``_write``, ``_evaluation``, ``_checkpoint`` and ``_close`` instead.
    """

    label = ""
    remedy = ""

    def __init__(self, interval: int | None = None, num_eval_images: int = 0) -> None:
        self.interval, self.num_eval_images = interval, num_eval_images
        self.working = True
        self._warned = False

    def start(self, run: Mapping[str, Any]) -> None:
        self._try(self._start, run)

    def write(self, record: Mapping[str, Any]) -> None:
        if self.is_due(record):
            self._try(self._write, record)

    def evaluation(self, record: Mapping[str, Any], result: Evaluation, examples: Sequence[Example]) -> None:
        self._try(self._evaluation, record, result, examples)

    def checkpoint(self, path: str, info: Mapping[str, Any]) -> None:
        self._try(self._checkpoint, path, info)

    def close(self) -> None:
        self._try(self._close)
        self.working = False

    def _try(self, action: Callable[..., None], *args: Any) -> None:
        if not self.working:
            return
        try:
            action(*args)
        except Exception as error:  # whatever a third party's client raises
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.working, self.num_eval_images = False, 0
        self._warn(error)

    def _warn(self, error: Exception) -> None:
        """Say what went wrong; only the first time."""
        warned, self._warned = self._warned, True
        if warned:
            return
        failed = "failed" if self.working else "failed and is off for this run"
        remedy = f" ({self.remedy})" if self.remedy else ""
        get_root_logger().warning(f"{self.label} {failed}; training goes on: {first_line(error)}{remedy}")

    def _start(self, run: Mapping[str, Any]) -> None: ...

    def _write(self, record: Mapping[str, Any]) -> None: ...

    def _evaluation(
        self, record: Mapping[str, Any], result: Evaluation, examples: Sequence[Example]
    ) -> None: ...

    def _checkpoint(self, path: str, info: Mapping[str, Any]) -> None: ...

    def _close(self) -> None: ...


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def curves(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record, under ``train/`` or ``val/``, with ``learning_rate`` as 0.25 names them."""
    mode = record["mode"]
    numbers = {
        k: v
        for k, v in record.items()
        if k not in _NOT_CURVES and isinstance(v, int | float) and not isinstance(v, bool)
    }
    lr = numbers.pop("lr", None)
    named = {f"{mode}/{k}": v for k, v in numbers.items()}
    return named if lr is None else {**named, "learning_rate": lr}


def per_class_scores(
    scores: Mapping[str, float], class_names: Sequence[str]
) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of a table: a class, then its IoU, Acc, ... in 0..1, None for NaN."""
    known = set(map(str, class_names))
    kinds = list(dict.fromkeys(key.partition(".")[0] for key in scores if key.partition(".")[2] in known))
    rows: list[list[Any]] = []
    for name in map(str, class_names):
        values = [float(scores.get(f"{kind}.{name}", math.nan)) for kind in kinds]
        rows.append([name, *(v if math.isfinite(v) else None for v in values)])
    return ["class", *kinds], rows
