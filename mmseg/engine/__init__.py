"""Training and evaluation: the loop, optimizers, schedules, the evaluator, writers, hooks."""

from mmseg.engine.evaluator import Evaluation, evaluate
from mmseg.engine.hooks import HOOKS, Hook
from mmseg.engine.optimizer import OPTIMIZERS, build_optimizer
from mmseg.engine.schedule import build_lr_schedule
from mmseg.engine.trainer import Trainer

__all__ = [
    "HOOKS",
    "OPTIMIZERS",
    "Evaluation",
    "Hook",
    "Trainer",
    "build_lr_schedule",
    "build_optimizer",
    "evaluate",
]
