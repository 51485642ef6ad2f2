"""A checkpoint that cannot be written does not end a run: it is said aloud, and the run may not end well."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger


class SaveFailures:
    """What became of the checkpoints of one run.

    A disk that is full or away for an hour may be there again at the next interval, and days of training
    are in the memory of the process; so a failure is logged as an error each time and the run goes on. The
    files written before are as they were. A run whose last checkpoint failed ends with an error.

    Args:
        logger: By default the toolbox's.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self.logger = logger or get_root_logger()
        self.in_a_row = 0
        self.last: UserError | None = None

    def attempt(self, write: Callable[[], None]) -> bool:
        """Call ``write``; return whether it wrote.

        Raises:
            UserError: of ``write``, where it is no fault of the disk: an object that no checkpoint can hold
                will not fit later either.
        """
        try:
            write()
        except UserError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            self.in_a_row += 1
            self.last = error
            often = "" if self.in_a_row == 1 else f" ({self.in_a_row} times in a row)"
            self.logger.error(f"CHECKPOINT NOT SAVED{often}: {error}; the run goes on and tries again")
            return False
        if self.in_a_row:
            self.logger.info(f"checkpoints can be written again, after {self.in_a_row} that could not")
        self.in_a_row, self.last = 0, None
        return True

    def finish(self) -> None:
        """Say at the end of a run whether its end is on the disk.

        Raises:
            UserError: the last checkpoint was not written.
        """
        if self.last is not None:
            raise UserError(
                f"the run is over, but its last {self.in_a_row} checkpoints were not saved: {self.last};"
                " --auto-resume then goes on from the newest whole file"
            ) from self.last
