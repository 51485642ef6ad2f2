"""The progress bar of the conversions."""

from __future__ import annotations

from typing import Any


def terminal_bar(*counters: Any) -> Any:
    """Return a rich progress bar with the given columns beside bar and remaining time.

    It is drawn on the terminal's error output and removed at the end; nothing is drawn elsewhere.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), *counters, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
