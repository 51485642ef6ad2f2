"""``task = 'binary'``: one line at the top of a config, for the data sets and the heads."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from mmseg.utils.errors import UserError


def apply_task(cfg: MutableMapping[str, Any]) -> None:
    """Hand the ``task`` of a config on to its data sets and heads; doing it again changes nothing.

    ``task = 'binary'`` means masks of background and foreground (0 and 255, or 0 and 1), one logit per
    pixel, sigmoid cross entropy and a threshold. ``num_classes`` is set where it is missing, and
    ``use_sigmoid`` of a ``CrossEntropyLoss``, which nearly every model's config writes out as false. What
    contradicts it otherwise is left to the data sets and heads, which refuse it.

    Raises:
        UserError: the task is unknown, or a data set or a head names another.
    """
    task = cfg.get("task")
    if task is None:
        return
    if task != "binary":
        raise UserError(f"`task` is 'binary' or left out, not {task!r}")
    data, model = cfg.get("data") or {}, cfg.get("model") or {}
    for split in ("train", "val", "test"):
        for where, dataset in innermost_data_sets(f"data.{split}", data.get(split)):
            _set(where, dataset, task)
    for name in ("decode_head", "auxiliary_head"):
        for where, head in _each(f"model.{name}", model.get(name)):
            _set(where, head, task)
            head.setdefault("num_classes", 2)
            for _, loss in _each("", head.get("loss_decode")):
                if loss.get("type") == "CrossEntropyLoss" and not loss.get("use_mask"):
                    loss["use_sigmoid"] = True


def _set(where: str, section: MutableMapping[str, Any], task: str) -> None:
    if section.get("task", task) != task:
        raise UserError(
            f"`task` is {task!r} at the top of the config, but {section['task']!r} in {where}; keep one"
        )
    section["task"] = task


def _each(where: str, section: Any) -> Iterator[tuple[str, MutableMapping[str, Any]]]:
    """The dictionaries of a section that is one, or a list of them."""
    if isinstance(section, list | tuple):
        for i, item in enumerate(section):
            yield from _each(f"{where}.{i}", item)
    elif isinstance(section, MutableMapping):
        yield where, section


def innermost_data_sets(where: str, section: Any) -> Iterator[tuple[str, MutableMapping[str, Any]]]:
    """Yield path and config of the data sets of a section, inside of a ``RepeatDataset`` too."""
    for path, item in _each(where, section):
        inner = [key for key in ("dataset", "datasets") if key in item]
        for key in inner:
            yield from innermost_data_sets(f"{path}.{key}", item[key])
        if not inner:
            yield path, item
