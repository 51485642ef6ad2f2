"""A pipeline: transforms one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.fast import fused
from mmseg.utils.errors import UserError

Transform = Callable[[dict[str, Any]], dict[str, Any] | None]


@PIPELINES.register_module()
class Compose:
    """Apply transforms in order; None from one of them ends the pipeline with None.

    Args:
        transforms: Dictionaries with ``type``, or callables.
        exact: Call every transform by itself and decode with OpenCV and Pillow alone. Without it, runs of the
            toolbox's own transforms go as one step, with the same draws; see docs/performance.md.

    Attributes:
        transforms: The transforms; may be changed at any time.

    Raises:
        UserError: an entry is neither, or names an unknown transform or argument.
    """

    def __init__(self, transforms: Sequence[dict[str, Any] | Transform], exact: bool = False) -> None:
        self.exact = exact
        self.transforms: list[Transform] = []
        self._plan: tuple[list[Transform], list[Transform]] | None = None  # what is fused, and into what
        for transform in transforms:
            if isinstance(transform, dict):
                transform = PIPELINES.build(transform)
            elif not callable(transform):
                raise UserError(
                    "a pipeline holds dictionaries with `type` or callables, "
                    f"not {type(transform).__name__}: {transform!r}"
                )
            self.transforms.append(transform)

    def steps(self) -> list[Transform]:
        """What is called, one after another: the transforms, or without ``exact`` joined runs of them."""
        if self.exact:
            return self.transforms
        plan = self._plan
        if plan is None or not _same(plan[0], self.transforms):
            plan = self._plan = list(self.transforms), fused(self.transforms)
        return plan[1]

    def __call__(self, data: dict[str, Any]) -> dict[str, Any] | None:
        for transform in self.steps():
            data = transform(data)
            if data is None:
                return None
        return data

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


def _same(before: Sequence[Transform], now: Sequence[Transform]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))
