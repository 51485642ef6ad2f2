"""What users extend the training loop with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmseg.registry import Registry
from mmseg.utils.errors import UserError, near_matches

if TYPE_CHECKING:
    from torch import Tensor

    from mmseg.engine.trainer import Trainer

HOOKS = Registry("hook")


class Hook:
    """Called by the training loop; a config names it in ``custom_hooks``.

    ``trainer.iter`` counts finished iterations. What stands in ``self.state`` (plain numbers,
    strings, lists, dictionaries, tensors) is saved with each checkpoint and restored by a resume.
    """

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def before_run(self, trainer: Trainer) -> None:
        """Before the first iteration, after a resume."""

    def before_iter(self, trainer: Trainer, batch: dict[str, Any]) -> None:
        """Before the forward pass; ``batch`` is on the device."""

    def after_iter(self, trainer: Trainer, log_vars: dict[str, Tensor]) -> None:
        """After an iteration, with its optimizer step where one was due; ``log_vars`` may be added to."""

    def after_epoch(self, trainer: Trainer) -> None:
        """After the last iteration of each epoch."""

    def after_eval(self, trainer: Trainer, scores: dict[str, float]) -> None:
        """After each evaluation, on every rank; ``scores`` lie in 0..1, losses above 0.

        What is added to them is logged, and ``save_best`` and ``early_stopping`` may name it; it must be
        the same on every rank.
        """

    def after_run(self, trainer: Trainer) -> None:
        """After the last iteration."""


def build_hooks(cfgs: list[dict[str, Any] | Hook] | None) -> list[Hook]:
    """Build ``custom_hooks``, in the order of their ``priority``: 0.25's names or numbers, NORMAL by default.

    Raises:
        UserError: an unknown hook, argument or priority.
    """
    levels = {"HIGHEST": 0, "VERY_HIGH": 10, "HIGH": 30, "ABOVE_NORMAL": 40, "NORMAL": 50}
    levels |= {"BELOW_NORMAL": 60, "LOW": 70, "VERY_LOW": 90, "LOWEST": 100}
    hooks: list[tuple[int, Hook]] = []
    for cfg in cfgs or []:
        if isinstance(cfg, Hook):
            hooks.append((levels["NORMAL"], cfg))
            continue
        cfg = dict(cfg)
        priority = cfg.pop("priority", "NORMAL")
        if not isinstance(priority, int) and str(priority).upper() not in levels:
            raise UserError(
                f"custom_hooks: priority `{priority}` of {cfg.get('type')} is no number and none of "
                f"{', '.join(levels)}{near_matches(str(priority), levels)}"
            )
        level = priority if isinstance(priority, int) else levels[str(priority).upper()]
        hook = HOOKS.build(cfg)
        if not hasattr(hook, "state"):  # a subclass that did not call super().__init__()
            hook.state = {}
        hooks.append((level, hook))
    return [hook for _, hook in sorted(hooks, key=lambda pair: pair[0])]
