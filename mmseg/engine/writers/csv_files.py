"""Plain tables of a run: ``train.csv`` and ``val.csv``."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any

from mmseg.engine.writers.base import WRITERS, TolerantWriter

_LEFT_OUT = ("mode", "max_iters", "by_epoch", "inner_iter", "iters_per_epoch", "eta")


@WRITERS.register_module(name=["CsvLoggerHook", "CSVLoggerHook"])
class CsvWriter(TolerantWriter):
    """Writes ``train.csv`` (a row per log interval) and ``val.csv`` (a row per evaluation).

    The columns are ``iter``, ``epoch``, ``lr`` and every number of the records, in full precision; a
    column that appears later is added at the right, and earlier rows are empty there. A resumed run
    goes on in the same files, without the rows that it is about to write again. A run that starts
    anew sets the files of an earlier one aside as ``train_before_TIMESTAMP.csv``.

    Args:
        out_dir: Folder of the files; the work folder if None.
        interval: Iterations between rows of ``train.csv``; None takes each record of the loop.
        by_epoch, ignore_last, reset_flag: accepted as by the other writers.
    """

    label = "the CSV log"

    def __init__(
        self,
        out_dir: str | None = None,
        interval: int | None = None,
        by_epoch: bool | None = None,
        ignore_last: bool = True,
        reset_flag: bool = False,
    ) -> None:
        super().__init__(interval=interval)
        self.out_dir = out_dir

    def _start(self, run: Mapping[str, Any]) -> None:
        self.folder = self.out_dir or run["work_dir"]
        os.makedirs(self.folder, exist_ok=True)
        self.columns: dict[str, list[str]] = {"train": [], "val": []}
        for mode in self.columns:
            path = self._path(mode)
            if not os.path.exists(path):
                continue
            if not run["iter"]:
                os.replace(path, os.path.join(self.folder, f"{mode}_before_{run['timestamp']}.csv"))
                continue
            columns, rows = read_rows(path)
            # An evaluation that the run before did not finish comes again.
            last = run["iter"] - (mode == "val" and bool(run.get("milestone_due")))
            self._rewrite(mode, columns, [r for r in rows if int(r["iter"]) <= last])

    def _write(self, record: Mapping[str, Any]) -> None:
        mode = str(record["mode"])
        row = {"iter": record["iter"], "epoch": record["epoch"]}
        row.update({k: v for k, v in record.items() if k not in _LEFT_OUT and isinstance(v, int | float)})
        columns = self.columns.setdefault(mode, [])
        new = [k for k in row if k not in columns]
        if new:
            path = self._path(mode)
            earlier = read_rows(path)[1] if os.path.exists(path) else []
            self._rewrite(mode, [*columns, *new], earlier)
        with open(self._path(mode), "a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self.columns[mode], restval="").writerow(row)

    def _path(self, mode: str) -> str:
        return os.path.join(self.folder, f"{mode}.csv")

    def _rewrite(self, mode: str, columns: list[str], rows: list[dict[str, str]]) -> None:
        """Replace a file as a whole, so that a crash leaves the old one or the new one."""
        path = self._path(mode)
        temporary = f"{path}.tmp"
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        self.columns[mode] = columns


def read_rows(path: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the whole rows of a CSV file; a row that a crash cut short is left out."""
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    lines = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    columns = lines[0] if lines else []
    whole = [line for line in lines[1:] if len(line) == len(columns)]
    return columns, [dict(zip(columns, line, strict=True)) for line in whole]
