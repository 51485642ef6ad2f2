"""Curves of one run or several, and a table of what each reached."""

from __future__ import annotations

import io
import math
import os
from argparse import Namespace
from collections.abc import Sequence

from mmseg.engine.run_log import Log, keys_of, read_run_log, seconds_per_iteration, series
from mmseg.utils.errors import UserError, near_matches
from mmseg.visualization.charts import Curve, draw_curves

# Of these the last value is shown; of other numbers the highest, of losses the lowest.
_LAST = ("lr", "time", "data_time", "memory", "grad_norm")


def analyze_from_args(args: Namespace) -> str:
    """Run ``tools/analyze_logs.py``: print the table, draw the chart; returns the table.

    Raises:
        UserError: a log that is none, a key that no log has, or names that are not one per run.
    """
    logs = [_read(path) for path in args.json_logs]
    keys = list(dict.fromkeys(args.keys or default_keys(logs)))
    known = list(dict.fromkeys(key for log in logs for key in keys_of(log)))
    for key in keys:
        if not any(series(log, key) for log in logs):
            name = key.removeprefix("train/").removeprefix("val/")
            raise UserError(
                f"--keys {key}: no log has it{near_matches(name, known)} (they have: {', '.join(known)})"
            )
    names = run_names(args.json_logs, args.legend, keys)
    table = results_table(names, logs, keys)
    print(table)
    if args.out:
        title = args.title if args.title is not None else (names[0] if len(names) == 1 else "")
        draw_curves(args.out, panels_of(logs, keys), runs=names, title=title, smooth=args.smooth)
        print(f"the curves are in {args.out}")
    return table


def _read(path: str) -> Log:
    log = read_run_log(path)
    if not log:
        raise UserError(
            f"{path} holds no log: neither *.log.json nor train.csv; give the work dir of tools/train.py"
        )
    return log


def default_keys(logs: Sequence[Log]) -> list[str]:
    """The training loss, mIoU (or the first score that is there) and the learning rate."""
    known = [keys_of(log) for log in logs]
    scores = [key for log in logs for key in keys_of({"val": log.get("val", [])}) if key.startswith("m")]
    wanted = ["loss", "mIoU" if "mIoU" in scores or not scores else scores[0], "lr"]
    return [key for key in wanted if any(key in own for own in known)] or known[0][:1]


def run_names(paths: Sequence[str], legend: Sequence[str] | None, keys: Sequence[str]) -> list[str]:
    """What the runs are called: as ``legend`` says, else by the shortest end of their paths that differs.

    Args:
        paths: Of the logs.
        legend: A name for each run, or as in 0.25 one for each run and key, of which the first of each
            run counts.
        keys: Of the curves.

    Raises:
        UserError: another number of names.
    """
    if legend:
        if len(legend) == len(paths) * len(keys):
            return list(legend[:: len(keys)])
        if len(legend) != len(paths):
            logs = "1 log" if len(paths) == 1 else f"{len(paths)} logs"
            raise UserError(f"--legend has {len(legend)} names for {logs}; give one for each")
        return list(legend)
    parts = []
    for path in paths:
        absolute = os.path.abspath(path)
        is_log = not os.path.isdir(path)
        own = (os.path.dirname(absolute) if is_log else absolute).split(os.sep)
        parts.append([p for p in own if p] + ([os.path.basename(path)] if is_log else []))
    # A log is called by its folder; by its own name too where one folder has several.
    plain = [
        p[:-1] if not os.path.isdir(path) and len(p) > 1 else p for p, path in zip(parts, paths, strict=True)
    ]
    for chosen in (plain, parts):
        for depth in range(1, 4):
            names = ["/".join(p[-depth:]) for p in chosen]
            if len(set(names)) == len(names):
                return names
    return [f"{'/'.join(p[-2:])} ({i})" for i, p in enumerate(parts, 1)]


def panels_of(logs: Sequence[Log], keys: Sequence[str]) -> dict[str, list[Curve]]:
    """The curves of each key: training as a line, evaluations with dots."""
    panels: dict[str, list[Curve]] = {}
    for key in keys:
        panels[key] = []
        for run, log in enumerate(logs):
            for mode, (x, y) in series(log, key).items():
                label = {"train": "training", "val": "validation"}.get(mode, mode)
                panels[key].append(Curve(label, x, y, run, dots=mode != "train", noisy=key != "lr"))
    return panels


def results_table(names: Sequence[str], logs: Sequence[Log], keys: Sequence[str]) -> str:
    """A row per run: iterations, time per iteration, the best value of each key and where it was."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ASCII2)
    table.add_column("run", no_wrap=True)
    columns = [f"{key} ({_kind(key)})" for key in keys if key not in ("time", "data_time")]
    for name in ("iterations", "s/iter", "data s/iter", *columns):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for name, log in zip(names, logs, strict=True):
        last = max(r["iter"] for records in log.values() for r in records)
        time, data = seconds_per_iteration(log)
        cells = [name, str(last), _short(time), _short(data)]
        cells += [_reached(log, key) for key in keys if key not in ("time", "data_time")]
        table.add_row(*map(Text, cells))
    console = Console(
        file=io.StringIO(), force_jupyter=False, width=10_000, color_system=None, force_terminal=False
    )
    console.print(table)
    return console.file.getvalue().rstrip("\n")


def _kind(key: str) -> str:
    name = key.rpartition("/")[2]
    return "last" if name in _LAST else "lowest" if "loss" in name else "highest"


def _reached(log: Log, key: str) -> str:
    """The best value of a key and its iteration; of evaluations where they have it, else of training."""
    found = series(log, key)
    if not found:
        return "-"
    x, y = found.get("val") or next(iter(found.values()))
    pairs = [(value, i) for i, value in zip(x, y, strict=True) if math.isfinite(value)]
    if not pairs:
        return "NaN"
    if _kind(key) == "last":
        return _short(pairs[-1][0])
    value, place = min(pairs) if _kind(key) == "lowest" else max(pairs, key=lambda pair: (pair[0], -pair[1]))
    return f"{_short(value)} at {place}"


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
