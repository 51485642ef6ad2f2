"""Parameters that a config keeps as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger


def freeze_parameters(model: nn.Module, names: str | Sequence[str] | None) -> list[nn.Module]:
    """Freeze the parameters that ``names`` (a config's ``frozen_parameters``) stand for.

    Args:
        model: Its parameters get ``requires_grad=False`` in place.
        names: Each is a name or a part of one up to a dot (``backbone``, ``backbone.layers.0``,
            ``decode_head.conv_seg.bias``), or a regular expression for such a beginning
            (``backbone\\.layers\\.[01]``, ``.*\\.norm\\d*``).

    Returns:
        The batch norms among them; they must stay in evaluation mode, see ``keep_in_eval``.

    Raises:
        UserError: a name that fits no parameter, or nothing is left to train.
    """
    names = [names] if isinstance(names, str) else list(names or [])
    parameters, modules = dict(model.named_parameters()), dict(model.named_modules())
    frozen: set[str] = set()
    norms: dict[str, nn.Module] = {}
    for entry in names:
        pattern = _pattern(entry)
        hits = [name for name in parameters if pattern.fullmatch(name)]
        own_norms = {
            name: module
            for name, module in modules.items()
            if pattern.fullmatch(name) and isinstance(module, nn.modules.batchnorm._BatchNorm)
        }
        if not hits and not own_norms:
            known = [*modules, *parameters]
            parts = ", ".join(name for name, _ in model.named_children())
            hint = near_matches(entry, known) or f" (the model has: {parts})"
            raise UserError(f"frozen_parameters: `{entry}` fits no parameter of the model{hint}")
        frozen.update(hits)
        norms.update(own_norms)
    for name in frozen:
        parameters[name].requires_grad = False
    if names and not any(p.requires_grad for p in parameters.values()):
        raise UserError(f"frozen_parameters={names} leaves nothing to train; freeze less")
    if names:
        count = sum(parameters[name].numel() for name in frozen)
        get_root_logger().info(
            f"frozen: {len(frozen)} parameters with {count:,} numbers ({', '.join(names)})"
        )
    return list(norms.values())


def keep_in_eval(modules: Sequence[nn.Module]) -> None:
    """Put ``modules`` into evaluation mode; needed after each ``model.train()``."""
    for module in modules:
        module.eval()


def _pattern(entry: str) -> re.Pattern[str]:
    if not isinstance(entry, str) or not entry:
        raise UserError(f"frozen_parameters is a list of names such as 'backbone', not of {entry!r}")
    try:
        return re.compile(rf"(?:{entry})(?:\..*)?")
    except re.error as error:
        raise UserError(f"frozen_parameters: `{entry}` is no regular expression: {error}") from None
