"""Facts of files kept between two calls, as long as a file's size and time stay the same."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

_VERSION = 1  # of the facts: files of another one are read anew


class FactsCache:
    """Facts by reader and path; an entry is good while size and time of its file are what they were.

    Args:
        path: File to read from and to write to; None keeps nothing. One that cannot be read is taken as
            empty, for everything in it can be found out again.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self._entries: dict[str, dict[str, list[Any]]] = {}
        self._changed = False
        if self.path is not None and self.path.is_file():
            try:
                with gzip.open(self.path, "rt", encoding="utf-8") as file:
                    kept = json.load(file)
                if kept["version"] == _VERSION:
                    self._entries = {str(k): dict(v) for k, v in kept["entries"].items()}
            except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
                self._entries = {}

    def get(self, key: str, path: str) -> dict[str, Any] | None:
        """Return the facts of ``path`` by the reader ``key``, or None where they have to be read."""
        entry = self._entries.get(key, {}).get(os.path.abspath(path))
        if entry is None or entry[:2] != stamp(path):
            return None
        return entry[2]

    def put(self, key: str, path: str, at: list[int] | None, facts: dict[str, Any]) -> None:
        """Keep the facts of ``path``, whose :func:`stamp` before the reading was ``at``."""
        if self.path is not None and at is not None:
            self._entries.setdefault(key, {})[os.path.abspath(path)] = [*at, facts]
            self._changed = True

    def save(self) -> None:
        """Write what changed, to a temporary file that is then renamed; a full disk is no error here."""
        if self.path is None or not self._changed:
            return
        text = json.dumps({"version": _VERSION, "entries": self._entries}, separators=(",", ":"))
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(gzip.compress(text.encode(), compresslevel=3))
            os.replace(part, self.path)
            self._changed = False
        except OSError:
            part.unlink(missing_ok=True)


def stamp(path: str) -> list[int] | None:
    """Return size (bytes) and time (nanoseconds) of a file, or None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
