"""What the toolbox's logger is told, whoever else listens."""

from __future__ import annotations

import logging


class Lines(logging.Handler):
    """Keeps the messages of the logger ``mmseg``, from INFO on."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        logger = logging.getLogger("mmseg")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
