"""Gradient checkpointing (Chen et al., 2016, "Training Deep Nets with Sublinear Memory Cost")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpointed(module: nn.Module, function: Callable[..., Any], *inputs: Any) -> Any:
    """``function(*inputs)``, whose inner activations are computed again in the backward pass.

    Args:
        module: The layers that ``function`` runs. Their batch normalisation counts the batch once:
            the second run leaves the running statistics alone.
        function: From tensors to a tensor or several.

    Returns:
        What ``function`` returns. Gradients and statistics equal those of a plain call.
    """
    if torch.compiler.is_compiling():  # the compiler traces one run and repeats no side effect
        return checkpoint(function, *inputs, use_reentrant=False)
    contexts = partial(_contexts, module)
    return checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts)


def _contexts(module: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _kept_statistics(module)


@contextmanager
def _kept_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch normalisation write to copies of its statistics."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    kept = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        norm._buffers.update({k: v if v is None else v.clone() for k, v in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
