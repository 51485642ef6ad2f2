"""What the tools around a model's cost print."""

from __future__ import annotations

import os
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmseg.apis.cost import (
    CPU,
    META,
    Cost,
    build_for_cost,
    cannot_run,
    cost_analysis_class,
    count_cost,
    image_for,
    missing_package,
    model_section,
    parse_shape,
    torch_flops,
)
from mmseg.core.cost.tables import cost_tree, giga, listed, mega, params_of
from mmseg.models.segmentors.inference import logits_of
from mmseg.utils.errors import UserError

# Operators of fvcore's that torch.utils.flop_counter counts too.
PRODUCTS = {"conv", "linear", "matmul", "mm", "addmm", "bmm", "einsum", "scaled_dot_product_attention"}


def print_fvcore_cost(args: Namespace) -> None:
    """Run ``tools/get_flops_fvscore.py``."""
    hw = parse_shape(args.shape)
    section = model_section(args.config, args.cfg_options)
    cost = count_cost(section, hw)
    from fvcore.nn import flop_count_table

    print(_input_line(cost, hw))
    print("operators: MMSegmentation 0.25's sequence (model.exact=True)\n")
    print(flop_count_table(cost.analysis, max_depth=args.max_depth))
    print(f"\nFLOPs: {giga(cost.macs)}\nParams: {mega(cost.params)}\n")
    for line in remarks(cost, hw):
        print(line)
    for line in cost_as_run(section, hw, cost):
        print(line)


def _input_line(cost: Cost, hw: tuple[int, int]) -> str:
    channels = image_for(cost.model, (1, 1), META).shape[1]
    return f"input: ({channels}, {hw[0]}, {hw[1]}), H x W = {hw[0]} x {hw[1]}; {_place(cost.device)}"


def _place(device: torch.device) -> str:
    if device == META:
        return "on the meta device: shapes only, nothing is computed"
    return f"on the {device}: the model does not run on the meta device"


def remarks(cost: Cost, hw: tuple[int, int]) -> list[str]:
    """What the total holds and what it leaves out, and how it compares with torch's own counter."""
    by_operator = dict(cost.analysis.by_operator())
    lines = [
        f"fvcore counts a multiply-add as one FLOP; counted as two it would be {giga(2 * cost.macs)}.",
        f"Counted: {listed(by_operator)}.",
    ]
    uncounted = cost.analysis.unsupported_ops().most_common()
    calls = ", ".join(f"{name.partition('::')[2] or name} {number}" for name, number in uncounted)
    lines.append(f"Not counted by fvcore (operator, calls): {calls or 'none'}.")
    idle = {
        name: params_of([child])
        for name, child in cost.model.named_children()
        if name in cost.analysis.uncalled_modules() and params_of([child])
    }
    if idle:
        parts = ", ".join(f"{name} {mega(number)}" for name, number in idle.items())
        lines.append(f"Parameters that only training uses: {parts}.")
    if cost.analysis.unused:
        lines.append(f"Computed for nothing, and left out of the total: {listed(cost.analysis.unused)}.")
    return [*lines, _cross_check(cost, hw, by_operator)]


def _cross_check(cost: Cost, hw: tuple[int, int], by_operator: Mapping[str, float]) -> str:
    image = image_for(cost.model, hw, cost.device)
    found = torch_flops(lambda: cost.model.forward_dummy(image))
    if isinstance(found, str):
        return f"Check: torch.utils.flop_counter cannot count this model: {found}"
    counted = Counter(by_operator) + cost.analysis.unused  # torch sees what no output depends on, too
    products = sum(macs for name, macs in counted.items() if name in PRODUCTS)
    rest = {name: macs for name, macs in by_operator.items() if name not in PRODUCTS}
    agree = abs(found / 2 - products) <= 1e-3 * max(products, 1)
    verdict = "they agree" if agree else "they differ: one of them does not know an operator of this model"
    return (
        f"Check: torch.utils.flop_counter gives {giga(found)} = 2 x {giga(found / 2)}. It counts a"
        " multiply-add as two, and only convolutions, matrix products and attention; of these fvcore has"
        f" {giga(products)}: {verdict}. What fvcore counts besides: {listed(rest) or 'nothing'}."
    )


def cost_as_run(section: Mapping[str, Any], hw: tuple[int, int], exact: Cost) -> list[str]:
    """The cost of the operators that training and testing really run, and of the windows of a test."""
    cost = count_cost(section, hw, exact=False)
    macs = cost.macs + sum(cost.analysis.unused.values())
    share = f"{100 * macs / max(exact.macs, 1):.1f} % of the above"
    lines = [
        f"As it runs (model.exact=False): {giga(macs)}, "
        + ("the same operators." if macs == exact.macs else f"{share}.")
    ]
    if (section.get("test_cfg") or {}).get("mode") == "slide":
        model = cost.model
        image = image_for(model, hw, cost.device)
        windows = cost_analysis_class()(model, lambda: logits_of(model, image, None))
        total = windows.total() + sum(windows.unused.values())
        crop = section["test_cfg"].get("crop_size")
        lines.append(f"A test of this image in windows of {_size(crop)} (test_cfg): {giga(total)}.")
    return lines


def _size(crop: int | Sequence[int]) -> str:
    return f"{crop}x{crop}" if isinstance(crop, int) else "x".join(map(str, crop))


def print_flops(args: Namespace) -> None:
    """Run ``tools/get_flops.py``: the total, in MMSegmentation 0.25's frame."""
    hw = parse_shape(args.shape)
    cost = count_cost(model_section(args.config, args.cfg_options), hw)
    line = "=" * 30
    channels = image_for(cost.model, (1, 1), META).shape[1]
    print(f"{line}\nInput shape: ({channels}, {hw[0]}, {hw[1]})")
    print(f"Flops: {cost.macs / 1e9:.2f} GFLOPs\nParams: {cost.params / 1e6:.2f} M\n{line}")
    print("Multiply-adds by fvcore's rules; tools/get_flops_fvscore.py shows what they hold and leave out.")


def print_cost_tree(args: Namespace) -> None:
    """Run ``tools/get_flops_counter.py``: the printed model, each module with its cost."""
    hw = parse_shape(args.shape)
    cost = count_cost(model_section(args.config, args.cfg_options), hw)
    print(_input_line(cost, hw))
    print(cost_tree(cost.model, cost.analysis.by_module()))
    print(f"{'Computational complexity:':<30}  {giga(cost.macs)}Mac")
    print(f"{'Number of parameters:':<30}  {mega(cost.params)}")


def print_network_summary(args: Namespace) -> None:
    """Run ``tools/get_network_summary.py``: torchinfo's table of layers with their output sizes."""
    try:
        import torchinfo
    except ImportError as error:
        raise missing_package(error, "torchinfo") from None
    hw = parse_shape(args.shape)
    section = model_section(args.config, args.cfg_options)
    columns = ("input_size", "output_size", "num_params", "mult_adds")
    for device in (META, CPU):
        model = build_for_cost(section, device, exact=True)
        model.forward = model.forward_dummy
        image = image_for(model, hw, device)
        try:
            summary = torchinfo.summary(
                model, input_data=image, device=device, depth=args.max_depth, col_names=columns, verbose=0
            )
        except Exception as error:
            cause = error.__cause__ or error  # torchinfo wraps what the model raises
            if isinstance(cause, UserError):
                raise cause from None
            if device == CPU:
                raise cannot_run(str(section.get("type")), hw, cause) from error
            continue
        print(summary)
        print(f"input: {tuple(image.shape)}; {os.path.basename(args.config)}, {_place(device)}")
        print("torchinfo's mult-adds are those of layers: without attention's products and resizing.")
        return
