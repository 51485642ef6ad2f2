"""Costs as text: sizes with units, a model's printed tree with its costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn


def giga(number: float) -> str:
    """``15579408328`` as ``15.579 G``."""
    return f"{number / 1e9:.3f} G"


def mega(number: float) -> str:
    """``3720051`` as ``3.720 M``."""
    return f"{number / 1e6:.3f} M"


def listed(costs: Mapping[str, float]) -> str:
    """``conv 9.229 G, linear 2.951 G``, the largest first."""
    ordered = sorted(costs.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {giga(cost)}" for name, cost in ordered)


def params_of(modules: Iterable[nn.Module]) -> int:
    """Number of parameters, each counted once."""
    return sum({id(p): p.numel() for module in modules for p in module.parameters()}.values())


def cost_tree(model: nn.Module, macs: Mapping[str, float]) -> str:
    """The text of ``print(model)``, each module with its parameters, multiply-adds and shares of them.

    Args:
        model: The model.
        macs: Multiply-adds by the name that ``model.named_modules()`` gives a module.
    """
    totals = max(params_of([model]), 1), max(macs.get("", 0), 1)
    return _branch(model, "", macs, totals, indent=0)


def _branch(
    module: nn.Module, name: str, macs: Mapping[str, float], totals: tuple[int, float], indent: int
) -> str:
    params, cost = params_of([module]), macs.get(name, 0)
    facts = (
        f"{mega(params)}, {100 * params / totals[0]:.3f}% Params, "
        f"{giga(cost)}Mac, {100 * cost / totals[1]:.3f}% MACs"
    )
    own = module.extra_repr()
    facts = f"{facts}, {own}" if own and "\n" not in own else facts
    children = list(module.named_children())
    if not children:
        return f"{type(module).__name__}({facts})"
    pad = " " * (indent + 2)
    lines = [f"{type(module).__name__}(", f"{pad}{facts}"]
    for child_name, child in children:
        full = f"{name}.{child_name}" if name else child_name
        lines.append(f"{pad}({child_name}): {_branch(child, full, macs, totals, indent + 2)}")
    return "\n".join([*lines, f"{' ' * indent})"])
