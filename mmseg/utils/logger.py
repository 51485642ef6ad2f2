"""The logger ``mmseg``: console on rank 0, and a file beside the checkpoints."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO


class _Console(logging.StreamHandler):
    """Writes to what ``sys.stderr`` is at the time, so that lines stay above a progress bar."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr


def get_root_logger(log_file: str | None = None, log_level: int | str = logging.INFO) -> logging.Logger:
    """Return the toolbox's logger; rank 0 writes to the console and, if given, to ``log_file``.

    Calling it again with another ``log_file`` moves the file handler. Other ranks log errors only.
    """
    logger = logging.getLogger("mmseg")
    logger.propagate = False
    formatter = logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s")
    if not logger.handlers:
        console = _Console()
        console.setFormatter(formatter)
        logger.addHandler(console)
        logger.setLevel(log_level)
    main_rank = int(os.environ.get("RANK", "0")) == 0
    if log_file is not None:
        logger.setLevel(log_level)
    if log_file is not None and main_rank:
        for handler in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
            logger.removeHandler(handler)
            handler.close()
        file_handler = logging.FileHandler(log_file)
        file_handler.setFormatter(formatter)
        logger.addHandler(file_handler)
    if not main_rank:
        logger.setLevel(logging.ERROR)
    return logger
