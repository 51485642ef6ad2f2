"""The text log and a file of JSON lines, in 0.25's formats."""

from __future__ import annotations

import datetime
import json
import logging
import math
import os
from collections.abc import Mapping
from typing import Any

from mmseg.engine.writers.base import WRITERS, Writer
from mmseg.utils.logger import get_root_logger


@WRITERS.register_module(name="TextLoggerHook")
class TextWriter(Writer):
    """Log lines as MMSegmentation 0.25 prints them, and ``TIMESTAMP.log.json`` beside them.

    Args:
        interval: Iterations between training records; None takes each record of the loop, whose
            interval is that of ``log_config``.
        by_epoch, ignore_last, reset_flag, interval_exp_name, out_dir, out_suffix, keep_local,
            file_client_args: accepted as 0.25's.
    """

    def __init__(
        self,
        by_epoch: bool | None = None,
        interval: int | None = None,
        ignore_last: bool = True,
        reset_flag: bool = False,
        interval_exp_name: int = 1000,
        out_dir: str | None = None,
        out_suffix: str | tuple[str, ...] = (".log.json", ".log", ".py"),
        keep_local: bool = True,
        file_client_args: dict[str, Any] | None = None,
    ) -> None:
        self.interval = interval
        self.path: str | None = None
        self.logger: logging.Logger | None = None

    def start(self, run: Mapping[str, Any]) -> None:
        self.logger = get_root_logger()
        self.path = os.path.join(run["work_dir"], f"{run['timestamp']}.log.json")
        meta = {
            k: v for k, v in run["meta"].items() if k in ("env_info", "seed", "exp_name", "mmseg_version")
        }
        self._line(meta)

    def write(self, record: Mapping[str, Any]) -> None:
        if not self.is_due(record):
            return
        self.logger.info(text_line(record))
        shown = {k: v for k, v in record.items() if k not in ("eta", "max_iters", "max_epochs", "by_epoch")}
        self._line({k: rounded(v) for k, v in shown.items()})

    def _line(self, record: Mapping[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def text_line(record: Mapping[str, Any]) -> str:
    """Return ``record`` as a line of the text log."""
    if record["mode"] == "train":
        if record["by_epoch"]:
            head = f"Epoch [{record['epoch']}][{record['inner_iter']}/{record['iters_per_epoch']}]"
        else:
            head = f"Iter [{record['iter']}/{record['max_iters']}]"
        eta = datetime.timedelta(seconds=round(record["eta"]))
        parts = [f"lr: {record['lr']:.3e}", f"eta: {eta}", f"time: {record['time']:.3f}"]
        parts += [f"data_time: {record['data_time']:.3f}", f"memory: {record['memory']}"]
    else:
        head = f"Epoch(val) [{record['epoch']}]" if record["by_epoch"] else f"Iter(val) [{record['iter']}]"
        parts = []
    skip = {"mode", "epoch", "iter", "max_iters", "lr", "eta", "time", "data_time", "memory", "by_epoch"}
    skip |= {"inner_iter", "iters_per_epoch"}
    parts += [
        f"{k}: {v:.4f}" if isinstance(v, float) else f"{k}: {v}" for k, v in record.items() if k not in skip
    ]
    return head + "\t" + ", ".join(parts)


def rounded(value: Any) -> Any:
    """Five decimals are enough in a JSON line; NaN, which JSON lacks, becomes None."""
    if not isinstance(value, float):
        return value
    return (
        round(value, 5)
        if math.isfinite(value) and abs(value) >= 1e-2
        else value
        if math.isfinite(value)
        else None
    )
