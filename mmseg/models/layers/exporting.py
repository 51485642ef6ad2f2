"""What models ask while ``torch.export`` makes a graph of them that takes images of any size.

Heights and widths are unknowns then (``torch.SymInt``). A plain ``if`` on one of them is answered for the
example image, and the answer is kept as a condition on all images; so models ask these functions first.
Sizes are computed without ``//`` of negative numbers, which Python rounds down and ONNX towards zero.
"""

from __future__ import annotations

from typing import Any

import torch


def is_exporting() -> bool:
    """Whether ``torch.export`` is at work (on torch 2.6, which cannot tell: any compiler)."""
    return getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)()


def is_known_true(condition: Any) -> bool:
    """Whether ``condition`` on sizes holds for images of every size; asking adds no condition."""
    if isinstance(condition, bool):
        return condition
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return statically_known_true(condition)
