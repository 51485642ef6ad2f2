"""Reading what a run logged: JSON lines (this toolbox's and MMSegmentation 0.25's) and CSV tables."""

from __future__ import annotations

import glob
import json
import math
import os
import re
from collections.abc import Sequence
from typing import Any

from mmseg.engine.writers.base import curves
from mmseg.engine.writers.csv_files import read_rows
from mmseg.utils.errors import UserError

Record = dict[str, Any]
Log = dict[str, list[Record]]  # by mode, `train` and `val`

_TIMING = ("time", "data_time", "memory")


def read_run_log(path: str) -> Log:
    """Read the training and validation records of a run.

    Args:
        path: A work folder (the ``*.log.json`` of all parts of a run that was resumed, else ``train.csv``
            and ``val.csv``), one ``*.log.json``, or one of the two tables (the other is read as well).

    Returns:
        ``{"train": [...], "val": [...]}``, each by rising ``iter``, which is counted over the whole run;
        a mode without records is left out. Where a run was resumed, the later part replaces what it
        repeats.

    Raises:
        UserError: there is no such file, or it is no log. A folder without a log gives an empty result.
    """
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist; give the work dir of a run, its *.log.json or its train.csv")
    if not os.path.isdir(path):
        log = _read_tables(os.path.dirname(path)) if _is_table(path) else _merged([_json_records(path)])
        if not log:
            beside = f"{path}.json"
            remedy = (
                f"give {beside}" if os.path.isfile(beside) else "give a *.log.json, a train.csv or a work dir"
            )
            raise UserError(f"{path} holds no record of a run; {remedy}")
        return log
    parts = [_json_records(p) for p in sorted(glob.glob(os.path.join(glob.escape(path), "*.log.json")))]
    return _merged(parts) or _read_tables(path)


def _is_table(path: str) -> bool:
    return os.path.basename(path) in ("train.csv", "val.csv")


def _read_tables(folder: str) -> Log:
    log: Log = {}
    for mode in ("train", "val"):
        path = os.path.join(folder, f"{mode}.csv")
        if os.path.isfile(path):
            rows = [{k: _number(v) for k, v in row.items() if v != ""} for row in read_rows(path)[1]]
            log[mode] = [{**row, "mode": mode, "iter": int(row["iter"])} for row in rows if row.get("iter")]
    return {mode: records for mode, records in log.items() if records}


def _merged(parts: Sequence[Sequence[Record]]) -> Log:
    """Join the parts of a run; each replaces what earlier ones have from its first iteration on."""
    by_mode: dict[str, dict[int, Record]] = {}
    for part in parts:
        first = min((r["iter"] for r in part), default=0)
        for kept in by_mode.values() if part else ():
            for stale in [i for i in kept if i >= first]:
                del kept[stale]
        for record in part:
            by_mode.setdefault(record["mode"], {})[record["iter"]] = record
    return {mode: [kept[i] for i in sorted(kept)] for mode, kept in by_mode.items() if kept}


def _json_records(path: str) -> list[Record]:
    """The records of one file, their iterations counted over the run."""
    records = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:  # the last line of a run that was killed
                    continue
                if isinstance(record, dict) and isinstance(record.get("iter"), int) and "mode" in record:
                    records.append(record)
    except OSError as error:
        raise UserError(f"cannot read the log {path}: {error.strerror or error}") from None
    if any("inner_iter" in record for record in records):
        return records
    return _counted_over_the_run(records, path)


def _counted_over_the_run(records: list[Record], path: str) -> list[Record]:
    """Put right how 0.25 counts.

    Its epoch-based runs begin each epoch with iteration 1, and ``iter`` of an evaluation is the number of
    batches that were evaluated.
    """
    length = _iters_per_epoch(records, path)
    position = 0
    for record in records:
        if record["mode"] != "train":
            epoch_end = record.get("epoch", 0) * length
            record["iter"] = epoch_end or position or record["iter"]
            continue
        if length:
            record["iter"] += (record.get("epoch", 1) - 1) * length
        position = record["iter"]
    return records


def _iters_per_epoch(records: Sequence[Record], path: str) -> int:
    """Iterations of an epoch where each epoch counts its own, else 0.

    The text log beside the file has the number; without it the last iteration that an epoch logged has
    to do, which falls short by less than one log interval.
    """
    train = [(r.get("epoch", 1), r["iter"]) for r in records if r["mode"] == "train"]
    restarts = any(b[0] > a[0] and b[1] <= a[1] for a, b in zip(train, train[1:], strict=False))
    text = os.path.splitext(path)[0]
    if text != path and os.path.isfile(text):
        with open(text, encoding="utf-8", errors="replace") as file:
            for line in file:
                found = re.search(r"\bEpoch \[\d+\]\[\d+/(\d+)\]", line)
                if found:
                    return int(found[1])
    return max(i for _, i in train) if restarts else 0


def series(log: Log, key: str) -> dict[str, tuple[list[int], list[float]]]:
    """Return the iterations and values of a key by mode; NaN where a value is missing.

    Args:
        log: From ``read_run_log``.
        key: A name such as ``mIoU`` or ``decode.loss_ce``; ``train/`` or ``val/`` before it takes one mode.
    """
    only, _, name = key.rpartition("/") if key.startswith(("train/", "val/")) else ("", "", key)
    found = {}
    for mode, records in log.items():
        own = [(r["iter"], _number(r[name])) for r in records if name in r]
        # A learning rate and a time stand beside evaluations too, where they say nothing new.
        if own and only in ("", mode) and not (mode == "val" and not only and name in ("lr", *_TIMING)):
            found[mode] = [i for i, _ in own], [math.nan if v is None else v for _, v in own]
    return found


def keys_of(log: Log) -> list[str]:
    """The names of the numbers in a log."""
    names: dict[str, None] = {}
    for mode, records in log.items():
        for record in records:
            names |= dict.fromkeys(name.removeprefix(f"{mode}/") for name in curves({**record, "mode": mode}))
    return ["lr" if name == "learning_rate" else name for name in names]


def seconds_per_iteration(log: Log) -> tuple[float, float]:
    """Return the mean seconds of an iteration and of waiting for its data; NaN where nothing was timed.

    The first record is left out where there are more: it has the start of the workers in it.
    """
    means = []
    for key in ("time", "data_time"):
        values = [float(r[key]) for r in log.get("train", []) if isinstance(r.get(key), int | float)]
        values = values[1:] or values
        means.append(sum(values) / len(values) if values else math.nan)
    return means[0], means[1]


def _number(value: Any) -> float | None:
    if isinstance(value, list):  # of 0.25 with several optimizers
        value = value[0] if value else None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
