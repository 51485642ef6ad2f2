"""A pipeline: transforms one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmseg.datasets.builder import PIPELINES
from mmseg.utils.errors import UserError

Transform = Callable[[dict[str, Any]], dict[str, Any] | None]


@PIPELINES.register_module()
class Compose:
    """Apply transforms in order; None from one of them ends the pipeline with None.

    Args:
        transforms: Dictionaries with ``type``, or callables.

    Raises:
        UserError: an entry is neither, or names an unknown transform or argument.
    """

    def __init__(self, transforms: Sequence[dict[str, Any] | Transform]) -> None:
        self.transforms: list[Transform] = []
        for transform in transforms:
            if isinstance(transform, dict):
                transform = PIPELINES.build(transform)
            elif not callable(transform):
                raise UserError(
                    "a pipeline holds dictionaries with `type` or callables, "
                    f"not {type(transform).__name__}: {transform!r}"
                )
            self.transforms.append(transform)

    def __call__(self, data: dict[str, Any]) -> dict[str, Any] | None:
        for transform in self.transforms:
            data = transform(data)
            if data is None:
                return None
        return data

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"
