"""Hooks for runs that tests start in other processes; configs name this file in ``custom_imports``."""

from __future__ import annotations

from torch import nn

from mmseg.engine import HOOKS, Hook


@HOOKS.register_module(force=True)
class FreezeNorm(Hook):
    """Keeps every batch norm in evaluation mode."""

    def before_iter(self, trainer, batch):
        for module in trainer.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
