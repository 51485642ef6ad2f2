"""``task='binary'``: data sets of background and foreground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.datasets.files import read_names
from mmseg.utils.errors import UserError

CLASSES = ("background", "foreground")
PALETTE = ([0, 0, 0], [220, 20, 60])


def check_binary(
    owner: type,
    task: str,
    classes: str | Sequence[str] | None,
    palette: Sequence[Sequence[int]] | None,
    reduce_zero_label: bool,
    ignore_index: int,
) -> tuple[Any, Any]:
    """Check what a data set is given besides its ``task``, and return its classes and palette.

    Args:
        owner: The class of the data set.
        task: Of the data set.
        classes, palette: As given; None takes those above, or those of ``owner``.
        reduce_zero_label, ignore_index: Of the data set.

    Raises:
        UserError: the task is unknown, or something contradicts it.
    """
    name = owner.__name__
    if task != "binary":
        raise UserError(f"{name}: `task` is 'binary' or left out, not {task!r}")
    if reduce_zero_label:
        raise UserError(
            f"{name}: task='binary' takes 0 as background, reduce_zero_label=True as ignored; leave one out"
        )
    if ignore_index in (0, 1):
        raise UserError(
            f"{name}: task='binary' takes {ignore_index} as a class, ignore_index={ignore_index} as ignored; "
            "set `ignore_index` to the value in the masks that does not count, or leave it out"
        )
    own = getattr(owner, "CLASSES", None)
    names = read_names(classes) if isinstance(classes, str) else classes
    for source, given in (("has", own), ("`classes` names", names)):
        if given is not None and len(given) != 2:
            raise UserError(
                f"{name}: task='binary' has two classes, background first, but {source} {len(given)} "
                f"({', '.join(map(str, given[:4]))}{', ...' if len(given) > 4 else ''}); "
                f"{'use `CustomDataset`' if given is own else 'give two'}, or leave `task` out"
            )
    if own is not None:
        if names is not None and list(names) != list(own):
            raise UserError(
                f"{name}: task='binary' keeps the order {', '.join(own)}, not {', '.join(names)}; "
                "leave `classes` out"
            )
        return None, palette
    return list(names or CLASSES), palette or [list(colour) for colour in PALETTE]
