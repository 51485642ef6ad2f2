"""fvcore's analysis of a model, fed by one run on any device instead of by a trace on real numbers.

fvcore traces a model with ``torch.jit.trace``, which computes everything and does not work on the meta
device. Here a dispatch mode watches one run. In inference mode it is given each operator whole (``linear``,
``layer_norm``, ``scaled_dot_product_attention``), exactly as such a trace records it; fvcore's own handles
count it, and its tables print it. As such a trace drops what the outputs do not depend on (the map of a
pyramid that no head reads), so is it left out here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_analysis import Statistics
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmseg.core.cost.data_flow import DataFlow

ATTENTION = "scaled_dot_product_attention"
# What a trace records as `_convolution`; true for the transposed ones.
CONVOLUTIONS = {f"aten::conv{kind}{dims}d": bool(kind) for kind in ("", "_transpose") for dims in (1, 2, 3)}
# Operators without arithmetic that fvcore's own list lacks.
NO_ARITHMETIC = {
    "aten::_to_copy",
    "aten::_unsafe_view",
    "aten::clone",
    "aten::feature_dropout",
    "aten::masked_fill_",
    "aten::ne",
    "aten::new_ones",
    "aten::ones_like",
    "aten::pad",
}


class Value:
    """An argument or a result of an operator, as fvcore's handles expect them of a trace."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def isCompleteTensor(self) -> bool:
        return isinstance(self.value, Tensor)

    def type(self) -> Value:
        return self

    def sizes(self) -> list[int]:
        return list(self.value.shape)

    def toIValue(self) -> Any:
        return self.value

    def node(self) -> Value:
        return self

    def inputs(self) -> list[Value]:
        return [Value(item) for item in self.value]


def attention_macs(inputs: list[Value], outputs: list[Value]) -> int:
    """Multiply-adds of ``scaled_dot_product_attention``: the products with the keys and with the values.

    The soft-max between them is not counted, as in a model that calls ``matmul`` twice.
    """
    query, key, value = (x.sizes() for x in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


class CostAnalysis(FlopCountAnalysis):
    """``fvcore.nn.FlopCountAnalysis`` of what ``run`` does with the parts of ``model``.

    Args:
        model: The model whose modules the operators are attributed to.
        run: Runs it once on one batch and returns its outputs; tensors may live on the meta device.

    Attributes:
        unused: Cost by operator of what was computed but left out, since ``run``'s outputs do not depend
            on it; filled by the first count.
    """

    def __init__(self, model: nn.Module, run: Callable[[], Any]) -> None:
        super().__init__(model, ())
        self._run = run
        self.unused: Counter[str] = Counter()
        self.set_op_handle(f"aten::{ATTENTION}", attention_macs)

    def _analyze(self) -> Statistics:
        if self._stats is None:
            names = [name for name in self._aliases.values() if isinstance(name, str)]
            counts = {name: Counter() for name in names}
            uncounted = {name: Counter() for name in names}
            seen = {""}
            calls: list[_Call | None] = []
            with self._scopes(seen) as scopes, _whole_operators(), _Watcher() as watcher:
                watcher.report = lambda *operator: calls.append(self._call(scopes[-1], *operator))
                outputs = self._run()
            used = watcher.flow.steps_behind(tree_leaves(outputs))
            for step, call in enumerate(calls):
                if call is None:
                    continue
                if used is not None and step not in used:
                    self.unused += call.costs if call.is_counted else Counter()
                    continue
                table = counts if call.is_counted else uncounted
                for name in self._get_all_ancestors(call.scope):
                    table[name] += call.costs
            self._stats = Statistics(counts, uncounted, set(names) - seen)
        return self._stats

    @contextmanager
    def _scopes(self, seen: set[str]) -> Iterator[list[str]]:
        """The names of the modules that are running, innermost last."""
        scopes = [""]
        hooks = []

        def enter(name: str) -> None:
            scopes.append(name)
            seen.update(self._get_all_ancestors(name))

        def leave(*_: Any) -> None:  # whatever a hook returns would replace the module's output
            scopes.pop()

        for module in self._model.modules():
            name = self._aliases[module]
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: enter(name)))
            hooks.append(module.register_forward_hook(leave))
        try:
            yield scopes
        finally:
            for hook in hooks:
                hook.remove()

    def _call(
        self, scope: str, kind: str, is_view: bool, inputs: list[Value], outputs: list[Value]
    ) -> _Call | None:
        """What one call of an operator costs; None where there is nothing to say of it."""
        handle = self._op_handles.get(kind)
        found = None
        if handle is not None:
            try:
                found = handle(inputs, outputs)
            except (AssertionError, IndexError, TypeError):  # a vector where the handle expects a matrix
                found = None
        if found is None:
            if is_view or kind in self._ignored_ops or kind in NO_ARITHMETIC or not kind.startswith("aten::"):
                return None
            return _Call(scope, Counter({kind: 1}), is_counted=False)
        costs = found if isinstance(found, Counter) else Counter({_bare(kind): found})
        return _Call(scope, costs, is_counted=True)


@dataclass
class _Call:
    """A call of an operator: its multiply-adds, or one call of what fvcore does not count."""

    scope: str
    costs: Counter[str]
    is_counted: bool


class _Watcher(TorchDispatchMode):
    """Report every operator: its name in a trace, whether it gives a view, its inputs and outputs."""

    report: Callable[[str, bool, list[Value], list[Value]], None]

    def __init__(self) -> None:
        super().__init__()
        self.flow = DataFlow()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        schema = func._schema
        inputs = [
            args[i] if i < len(args) else kwargs.get(argument.name, argument.default_value)
            for i, argument in enumerate(schema.arguments)
        ]
        # Some operators return nothing of what they write into.
        places = zip(inputs, schema.arguments, strict=True)
        changed = [x for x, place in places if place.alias_info is not None and place.alias_info.is_write]
        self.flow.add_step(tree_leaves((args, kwargs)), tree_leaves((result, changed)))
        kind = schema.name
        if kind in CONVOLUTIONS:  # input, weight, bias, stride, padding, dilation, transposed, ...
            inputs = [*inputs[:3], None, None, None, CONVOLUTIONS[kind], *[None] * 6]
            kind = "aten::_convolution"
        elif kind == "aten::convolution":
            inputs, kind = [*inputs, *[None] * 4], "aten::_convolution"
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
        outputs = result if isinstance(result, list | tuple) else [result]
        self.report(kind, is_view, [Value(x) for x in inputs], [Value(x) for x in outputs])
        return result


@contextmanager
def _whole_operators() -> Iterator[None]:
    """Inference mode, without the one fused operator that would hide the products of an attention."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _bare(kind: str) -> str:
    return kind.partition("::")[2]
