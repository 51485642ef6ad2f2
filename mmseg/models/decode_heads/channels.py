"""How many channels a head's logits have, and what they mean: ``task='binary'`` and its checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import nn

from mmseg.utils.errors import UserError

THRESHOLD = 0.5
# Of a head that says out_channels=1 and not task='binary': the format that this spelling comes from.
FORMER_THRESHOLD = 0.3


class Channels(NamedTuple):
    """What :func:`check_channels` makes of a head's settings."""

    task: str | None
    num_classes: int
    out_channels: int
    threshold: float | None


def check_channels(
    name: str,
    task: str | None = None,
    num_classes: int | None = None,
    out_channels: int | None = None,
    threshold: float | None = None,
) -> Channels:
    """Bring a head's settings together: one logit per class, or with ``task='binary'`` one for two classes.

    Args:
        name: The head, for messages.
        task, num_classes, out_channels, threshold: As :class:`BaseDecodeHead` takes them.

    Raises:
        UserError: they contradict each other, or ``num_classes`` is missing.
    """
    if task not in (None, "binary"):
        raise UserError(f"{name}: `task` is 'binary' or left out, not {task!r}")
    if task is None and num_classes == 2 and out_channels == 1:
        task, threshold = "binary", FORMER_THRESHOLD if threshold is None else threshold
    if task is None:
        if num_classes is None:
            raise UserError(f"{name} needs `num_classes`")
        if not isinstance(num_classes, int) or num_classes < 1:
            raise UserError(f"{name}: num_classes is the number of classes, not {num_classes!r}")
        if num_classes == 1:
            raise UserError(
                f"{name}: with num_classes=1 every pixel would be of class 0; for background and foreground "
                "set task='binary' and num_classes=2"
            )
        if out_channels not in (None, num_classes):
            raise UserError(
                f"{name}: out_channels={out_channels} must equal num_classes={num_classes}; leave it out"
            )
        if threshold is not None:
            raise UserError(
                f"{name}: threshold={threshold} goes with task='binary', not with one logit for each of "
                f"{num_classes} classes; leave it out"
            )
        return Channels(None, num_classes, num_classes, None)
    if num_classes not in (None, 2):
        raise UserError(
            f"{name}: task='binary' has two classes, background and foreground, but "
            f"num_classes={num_classes}; set num_classes=2 or leave `task` out"
        )
    if out_channels not in (None, 1):
        raise UserError(
            f"{name}: task='binary' gives one logit per pixel, but out_channels={out_channels}; "
            "leave `out_channels` out"
        )
    threshold = THRESHOLD if threshold is None else threshold
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < 1:
        raise UserError(f"{name}: `threshold` is a probability between 0 and 1, not {threshold!r}")
    return Channels("binary", 2, 1, float(threshold))


def check_one_channel(name: str, losses: Iterable[nn.Module]) -> None:
    """Raise ``UserError`` where a loss cannot take the one logit of ``task='binary'``.

    A loss can that has a true attribute ``one_channel``: it then takes logits (N, 1, H, W) and labels
    (N, H, W) of 0, 1 and the ignored value.
    """
    for loss in losses:
        kind = type(loss).__name__
        if not getattr(loss, "one_channel", False):
            remedy = "set use_sigmoid=True" if hasattr(loss, "use_sigmoid") else "leave it out"
            raise UserError(
                f"{name}: task='binary' gives one logit per pixel, which this {kind} cannot use (it compares "
                f"classes); {remedy}, or use loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)"
            )
        weights = getattr(loss, "class_weight", None)
        if weights is not None and len(weights) != 1:
            raise UserError(
                f"{name}: task='binary' gives one logit per pixel, but class_weight of {kind} has "
                f"{len(weights)} entries; give one, the weight of the foreground, or leave it out"
            )
