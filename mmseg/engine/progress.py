"""Progress bars: live on a terminal, a plain line now and then in a file or pipe."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType

_PLAIN_SECONDS = 10.0


class ProgressBar:
    """Counts ``total`` steps with elapsed and remaining time.

    On a terminal a live bar (rich) stays below the log lines; elsewhere a line is printed at most
    every ten seconds and at the end, so that log files stay readable.

    Args:
        label: What is counted (``train``, ``eval``).
        total: Steps to come.
        done: Steps already behind, as after a resume; they do not count towards the speed.
        enabled: False makes every call do nothing (ranks other than 0).
    """

    def __init__(self, label: str, total: int, done: int = 0, enabled: bool = True) -> None:
        self.label, self.total, self.done = label, total, done
        self.enabled = enabled
        self._first, self._start, self._printed = done, time.monotonic(), time.monotonic()
        self._live = None
        if enabled and sys.stderr.isatty():
            from rich import progress as bars
            from rich.console import Console

            self._live = bars.Progress(
                bars.TextColumn("{task.description}"),
                bars.BarColumn(),
                bars.MofNCompleteColumn(),
                bars.TimeElapsedColumn(),
                bars.TextColumn("eta"),
                bars.TimeRemainingColumn(),
                bars.TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._live.add_task(label, total=total, completed=done, note="")

    def __enter__(self) -> ProgressBar:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count ``steps`` more; ``note`` is shown beside the bar."""
        self.done += steps
        if not self.enabled:
            return
        if self._live is not None:
            self._live.update(self._task, advance=steps, **({"note": note} if note else {}))
            return
        now = time.monotonic()
        if now - self._printed >= _PLAIN_SECONDS or self.done == self.total:
            self._printed = now
            print(self.plain(now), file=sys.stderr, flush=True)

    def eta_seconds(self, now: float | None = None) -> float:
        """Seconds that the remaining steps take at the mean speed so far."""
        elapsed = (time.monotonic() if now is None else now) - self._start
        return elapsed / max(1, self.done - self._first) * (self.total - self.done)

    def plain(self, now: float | None = None) -> str:
        """The bar as one line of text."""
        filled = round(30 * self.done / max(1, self.total))
        eta = timedelta(seconds=round(self.eta_seconds(now)))
        elapsed = timedelta(seconds=round((time.monotonic() if now is None else now) - self._start))
        bar = "#" * filled + "." * (30 - filled)
        return f"{self.label} [{bar}] {self.done}/{self.total}, elapsed {elapsed}, eta {eta}"
