"""Hooks for runs that tests start in other processes; configs name this file in ``custom_imports``."""

from __future__ import annotations

import os
import time

from torch import nn

from mmseg.engine import HOOKS, Hook
from mmseg.utils.distributed import get_rank


@HOOKS.register_module(force=True)
class FreezeNorm(Hook):
    """Keeps every batch norm in evaluation mode."""

    def before_iter(self, trainer, batch):
        for module in trainer.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


@HOOKS.register_module(force=True)
class Signal(Hook):
    """Sends this process a signal after an iteration, once in its life.

    Args:
        iteration: After which.
        number: The signal.
        rank: Of the process.
    """

    def __init__(self, iteration: int, number: int, rank: int = 0):
        super().__init__()
        self.iteration, self.number, self.rank = iteration, number, rank

    def after_iter(self, trainer, log_vars):
        if trainer.iter == self.iteration and get_rank() == self.rank:
            os.kill(os.getpid(), self.number)


@HOOKS.register_module(force=True)
class Sleep(Hook):
    """Lets a rank sleep before some iterations, as endless code of a user's would.

    Args:
        seconds: By iteration (0-based, as text).
        rank: That sleeps.
    """

    def __init__(self, seconds: dict[str, float], rank: int = 0):
        super().__init__()
        self.seconds, self.rank = seconds, rank

    def before_iter(self, trainer, batch):
        if get_rank() == self.rank:
            time.sleep(self.seconds.get(str(trainer.iter), 0))
