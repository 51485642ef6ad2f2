"""The bad samples of a run with ``data.train.on_error='skip'``: counted, named, listed, and limited."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch.distributed as dist

from mmseg.datasets.on_error import Skip, on_error_of
from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

LIST = "skipped_samples.txt"


class SkippedSamples:
    """What was skipped, on all ranks.

    Each file is named in the log once, and stands in ``WORK_DIR/skipped_samples.txt`` with the reason. Ranks
    tell each other at log intervals only; alone, a process knows at once.

    Args:
        dataset: Of the training; its ``on_error`` is the setting.
        work_dir: Gets the list.

    Attributes:
        files: Each bad file with its reason.
        count: Samples that were replaced, on all ranks.
    """

    def __init__(self, dataset: Any, work_dir: str) -> None:
        self.on_error, self.length = on_error_of(dataset), len(dataset)
        self.path = os.path.join(work_dir, LIST)
        self.files: dict[str, str] = {}
        self.count = 0
        self.listed: set[str] = set()  # by an earlier part of the run
        self._new: list[Skip] = []
        self._bad: dict[int, set[int]] = defaultdict(set)  # by epoch, the samples

    def start(self, resumed: bool) -> None:
        """Begin the list anew, or go on with that of the run that is resumed."""
        if not self.on_error.skip or not os.path.exists(self.path):
            return
        if resumed:
            self.listed = _read(self.path)
        elif get_rank() == 0:
            with contextlib.suppress(OSError):
                os.remove(self.path)

    def add(self, skips: Sequence[Skip]) -> None:
        """Take what a batch of this rank went without.

        Raises:
            UserError: without other ranks, where it is too much.
        """
        self._new += skips
        if get_world_size() == 1:
            self.share()

    def share(self) -> None:
        """Report what is new on all ranks; called by all of them.

        Raises:
            UserError: on all of them, where more than ``max_share`` of the samples of an epoch are bad.
        """
        if not self.on_error.skip:
            return
        parts: list[Any] = [self._new]
        if get_world_size() > 1:
            parts = [None] * get_world_size()
            dist.all_gather_object(parts, self._new)
        self._new = []
        for skip in (skip for part in parts for skip in part):
            self.count += 1
            self._bad[skip.epoch].add(skip.index)
            if skip.file not in self.files:
                self.files[skip.file] = skip.reason
                self._report(skip)
        for epoch in sorted(self._bad):
            self._check(epoch, len(self._bad[epoch]))
        for epoch in sorted(self._bad)[:-2]:  # batches are loaded ahead, so one epoch may still come in
            del self._bad[epoch]

    def _report(self, skip: Skip) -> None:
        if get_rank() > 0:
            return
        get_root_logger().warning(
            f"skipped {skip.file} (on_error='skip'; {len(self.files)} files so far, all in {self.path}): "
            f"{skip.reason}"
        )
        if skip.file in self.listed:
            return
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{skip.file}\t{skip.reason}\n")
        except OSError as error:
            get_root_logger().warning(f"cannot write {self.path}: {error.strerror or error}")

    def _check(self, epoch: int, bad: int) -> None:
        share = bad / self.length
        if share <= self.on_error.max_share:
            return
        names = list(self.files)
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise UserError(
            f"on_error='skip': {bad} of {self.length} training samples of epoch {epoch + 1} are bad, "
            f"{share:.1%}, and max_share allows {self.on_error.max_share:.1%}: {shown}; put them right (the "
            f"reasons are in {self.path}), or raise on_error.max_share"
        )


def _read(path: str) -> set[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return {line.partition("\t")[0] for line in file}
