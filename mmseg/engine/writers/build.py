"""From ``log_config`` to writers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmseg.engine.writers.base import WRITERS, Writer
from mmseg.engine.writers.text import TextWriter
from mmseg.utils.distributed import get_rank


def build_writers(log_config: Mapping[str, Any] | None) -> list[Writer]:
    """Build the ``hooks`` of ``log_config``; the text writer is always among them, and first."""
    hooks = list((log_config or {}).get("hooks") or [])
    writers = [h if isinstance(h, Writer) else WRITERS.build(dict(h)) for h in hooks]
    if not any(isinstance(w, TextWriter) for w in writers):
        writers.insert(0, TextWriter())
    return sorted(writers, key=lambda w: not isinstance(w, TextWriter))


def start_writers(log_config: Mapping[str, Any] | None, run: Mapping[str, Any]) -> list[Writer]:
    """Build and start the writers of a run on rank 0; the other ranks have none.

    Args:
        log_config: The config's section.
        run: What ``Writer.start`` is told.

    Raises:
        UserError: an unknown writer, or an argument that it does not take (on every rank).
    """
    writers = build_writers(log_config)
    if get_rank() != 0:
        return []
    for writer in writers:
        writer.start(run)
    return writers
