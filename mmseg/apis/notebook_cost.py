"""What the network of a config costs, for notebooks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from mmseg.core.cost.tables import giga, mega, params_of
from mmseg.utils.errors import UserError
from mmseg.visualization.notebook_figures import cost_bars, write_figure

from .cost import CPU, META, Cost, build_for_cost, cannot_run, count_cost, image_for, model_section
from .cost_tools import remarks
from .inference import init_segmentor
from .notebook_configs import ConfigLike, config_path, name_of
from .notebook_results import NetworkSummary
from .setup import make_work_dir

TABLE_DEPTH = 3  # levels of modules in the tables of a network


def network(config: ConfigLike, checkpoint: str | None = None) -> nn.Module:
    """Build a config's segmentor, its forward being ``forward_dummy``: images (N, C, H, W) to logits.

    Args:
        config: A config or the path of one.
        checkpoint: Its weights; None leaves random ones.

    Returns:
        The model in evaluation mode, on the best device at hand.
    """
    with config_path(config) as path:
        model = init_segmentor(path, checkpoint)
    model.forward = model.forward_dummy
    return model


def summarize(
    config: ConfigLike,
    image_shape: Sequence[int],
    transformer: bool = False,
    chart_dir: str | None = None,
) -> NetworkSummary:
    """Count what the network of a config costs for one image, on the meta device.

    Args:
        config: A config or the path of one.
        image_shape: (H, W), or one number for both.
        transformer: Which table: True is fvcore's by module, whose costs hold attention's products; False
            is torchinfo's by layer, with the sizes of the outputs. The totals are fvcore's in both.
        chart_dir: Where a chart of the parts' costs is written; None draws none.

    Raises:
        UserError: a mistake in the config, or a shape that the network does not take.
    """
    hw = as_shape(image_shape)
    with config_path(config) as path:
        section, name = model_section(path), name_of(config)
    cost = count_cost(section, hw)
    if transformer:
        from fvcore.nn import flop_count_table

        table = flop_count_table(cost.analysis, max_depth=TABLE_DEPTH)
    else:
        table = layer_table(section, hw)
    parts = cost_parts(cost)
    charts = {}
    if chart_dir is not None:
        title = f"{name}, {hw[0]}x{hw[1]}: {giga(cost.macs)}FLOPs, {mega(cost.params)} parameters"
        charts["cost"] = os.path.join(make_work_dir(chart_dir), "cost.png")
        write_figure(cost_bars(parts, title), charts["cost"])
    return NetworkSummary(name, hw, cost.macs, cost.params, parts, table, remarks(cost, hw), charts)


def as_shape(image_shape: Sequence[int] | int) -> tuple[int, int]:
    """(H, W) of an image.

    Raises:
        UserError: it is something else.
    """
    sides = (image_shape,) if isinstance(image_shape, int) else tuple(image_shape)
    if len(sides) == 3 and sides[0] in (1, 3, 4):  # (C, H, W)
        sides = sides[1:]
    if len(sides) not in (1, 2) or not all(isinstance(s, int | np.integer) and s > 0 for s in sides):
        raise UserError(f"image_shape is (H, W) in pixels, such as (375, 1242), not {image_shape!r}")
    return int(sides[0]), int(sides[-1])


def layer_table(section: Mapping[str, Any], hw: tuple[int, int]) -> str:
    """torchinfo's table of the layers of a ``model`` section, for an image of (h, w).

    Raises:
        UserError: the model does not take such an image.
    """
    import torchinfo

    columns = ("input_size", "output_size", "num_params", "mult_adds")
    cause: Exception = AssertionError()
    for device in (META, CPU):
        model = build_for_cost(section, device, exact=True)
        model.forward = model.forward_dummy
        image = image_for(model, hw, device)
        try:
            return str(
                torchinfo.summary(
                    model, input_data=image, device=device, depth=TABLE_DEPTH, col_names=columns, verbose=0
                )
            )
        except Exception as error:  # torchinfo wraps what the model raises
            cause = error.__cause__ or error
    raise cause if isinstance(cause, UserError) else cannot_run(str(section.get("type")), hw, cause)


def cost_parts(cost: Cost) -> dict[str, tuple[int, int]]:
    """Multiply-adds and parameters of the parts of a model: the stages of its backbone, the layers of its
    heads. What a module does between its parts (resizing) is a row of its own."""
    macs = cost.analysis.by_module()
    parts: dict[str, tuple[int, int]] = {}
    for name, module in cost.model.named_children():
        inner: dict[str, nn.Module] = {}
        for child_name, child in module.named_children():
            if isinstance(child, nn.ModuleList | nn.Sequential) and len(child) > 1:
                inner |= {f"{name}.{child_name}.{i}": part for i, part in child.named_children()}
            else:
                inner[f"{name}.{child_name}"] = child
        rows = {key: (int(macs.get(key, 0)), params_of([part])) for key, part in inner.items()}
        rest = int(macs.get(name, 0)) - sum(m for m, _ in rows.values())
        own = params_of([module]) - params_of(inner.values())
        parts |= {key: row for key, row in rows.items() if any(row)}
        if rest or own:
            parts[f"{name} (rest)" if rows else name] = (rest, own)
    rest = cost.macs - sum(m for m, _ in parts.values())
    if rest:
        parts["resizing to the image"] = (rest, 0)
    return parts


def cost_table(summaries: Mapping[str, NetworkSummary]) -> str:
    """A row per network: the image, multiply-adds, parameters."""
    width = max([7, *map(len, summaries)])
    lines = [f"{'network':<{width}}  {'image':>10}  {'FLOPs':>11}  {'parameters':>11}"]
    for name, found in summaries.items():
        size = "x".join(map(str, found.image_shape))
        lines.append(f"{name:<{width}}  {size:>10}  {giga(found.macs):>11}  {mega(found.params):>11}")
    return "\n".join(lines)
