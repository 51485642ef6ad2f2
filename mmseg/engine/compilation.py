"""``torch.compile`` by a config switch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mmseg.engine.sections import switched_on
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger

_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_OPTIONS = ("backend", "mode", "dynamic", "fullgraph", "options")
_PARTS = ("backbone", "neck", "decode_head", "auxiliary_head")


class Compiled:
    """The compiled parts of a model: backbone, neck and heads, each from tensors to tensors.

    They are compiled in place, so that the names of the weights stay as they are. Losses, which look
    into lists of dictionaries, run eagerly. Where the compiler fails (no C++ compiler, no Triton, an
    operator that it cannot handle), one warning says so and everything runs eagerly.

    Args:
        model: A segmentor; a model without such parts is compiled as a whole.
        options: Of ``torch.compile``.
    """

    def __init__(self, model: nn.Module, options: Mapping[str, Any]) -> None:
        found = [getattr(model, name) for name in _PARTS if getattr(model, name, None) is not None]
        lists = [part if isinstance(part, nn.ModuleList) else [part] for part in found]
        self.parts = [part for parts in lists for part in parts] or [model]
        for part in self.parts:
            part._compiled_call_impl = self._guarded(part, torch.compile(part._call_impl, **options))

    def _guarded(self, part: nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return compiled(*args, **kwargs)
            except _compiler_errors() as error:
                self.give_up(error)
                return part._call_impl(*args, **kwargs)  # a mistake of the model's own shows here

        return call

    def give_up(self, error: Exception) -> None:
        """Run everything eagerly from now on."""
        for part in self.parts:
            part._compiled_call_impl = None
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        get_root_logger().warning(
            f"torch.compile failed; the run goes on without it: {(lines or [type(error).__name__])[0][:300]}"
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Run eagerly for a while: the images of an evaluation may have many sizes, each to be compiled."""
        with torch.compiler.set_stance("force_eager"):
            yield


def compile_model(model: nn.Module, cfg: Mapping[str, Any]) -> Compiled | None:
    """Compile ``model`` as the config's ``compile`` asks: True, or a dictionary of ``torch.compile``'s
    ``mode``, ``dynamic``, ``backend``, ``fullgraph``, ``options``.

    Raises:
        UserError: an unknown setting.
    """
    options = switched_on(cfg, "compile")
    if options is None:
        return None
    for key in options:
        if key not in _OPTIONS:
            raise UserError(f"compile: unknown key `{key}`{near_matches(key, _OPTIONS)}")
    mode = options.get("mode")
    if mode is not None and mode not in _MODES:
        raise UserError(f"compile.mode: unknown mode `{mode}`{near_matches(str(mode), _MODES)} "
                        f"(known: {', '.join(_MODES)})")  # fmt: skip
    if mode is not None and options.get("options"):
        raise UserError("compile takes `mode` or `options`, not both")
    backend = options.get("backend", "inductor")
    known = torch.compiler.list_backends(exclude_tags=())
    if isinstance(backend, str) and backend not in known:
        raise UserError(f"compile.backend: unknown backend `{backend}`{near_matches(backend, known)} "
                        f"(known: {', '.join(known)})")  # fmt: skip
    try:
        return Compiled(model, options)
    except RuntimeError as error:  # a Python or platform that torch.compile does not support
        get_root_logger().warning(f"torch.compile is not available here; running without it: {error}")
        return None


def _compiler_errors() -> tuple[type[Exception], ...]:
    from torch._dynamo.exc import TorchDynamoException

    try:
        from torch._inductor.exc import InductorError
    except ImportError:  # older names
        return (TorchDynamoException,)
    return (TorchDynamoException, InductorError)
