"""A checkpoint that cannot be written does not end a run: it is said aloud, and the run may not end well."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch.distributed as dist

from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger


class SaveFailures:
    """What became of the checkpoints of one run.

    A disk that is full or away for an hour may be there again at the next interval, and days of training
    are in the memory of the process; so a failure is logged as an error each time and the run goes on. The
    files written before are as they were. A run whose last checkpoint failed ends with an error. Rank 0
    writes, and all ranks know what became of it, so that they go on, or end, alike.

    Args:
        logger: By default the toolbox's.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self.logger = logger or get_root_logger()
        self.in_a_row = 0
        self.last: str | None = None  # no exception: it would keep the state that was to be written

    def attempt(self, write: Callable[[], None]) -> bool:
        """Call ``write`` on rank 0; return on every rank whether it wrote. Every rank calls this.

        Raises:
            UserError: of ``write``, where it is no fault of the disk: an object that no checkpoint can hold
                will not fit later either.
        """
        error = _of_rank_0(_failure_of(write) if get_rank() == 0 else None)
        if error is not None:
            self.in_a_row += 1
            self.last = error
            often = "" if self.in_a_row == 1 else f" ({self.in_a_row} times in a row)"
            if get_rank() == 0:
                self.logger.error(f"CHECKPOINT NOT SAVED{often}: {error}; the run goes on and tries again")
            return False
        if self.in_a_row:
            self.logger.info(f"checkpoints can be written again, after {self.in_a_row} that could not")
        self.in_a_row, self.last = 0, None
        return True

    def finish(self) -> None:
        """Say at the end of a run whether its end is on the disk.

        Raises:
            UserError: the last checkpoint was not written; on every rank.
        """
        if self.last is not None:
            raise UserError(
                f"the run is over, but its last {self.in_a_row} checkpoints were not saved: {self.last};"
                " --auto-resume then goes on from the newest whole file"
            )


def _failure_of(write: Callable[[], None]) -> str | None:
    """What the disk had against it."""
    try:
        write()
    except UserError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        return str(error)
    return None


def _of_rank_0(text: str | None) -> str | None:
    if get_world_size() == 1:
        return text
    texts = [text]
    dist.broadcast_object_list(texts, src=0)
    return texts[0]
