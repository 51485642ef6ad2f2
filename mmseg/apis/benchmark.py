"""How fast a config's model turns images into label maps on this machine."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from torch import nn

from mmseg.apis.cost import build_for_cost, cannot_run, image_for, model_section, parse_shape
from mmseg.core.cost.timing import Timing, measure
from mmseg.engine.compilation import compile_model
from mmseg.engine.precision import Precision, precision_from
from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.distributed import named_device
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger


def benchmark_model(
    model: nn.Module,
    hw: tuple[int, int],
    batch_size: int = 1,
    repeat: int = 30,
    warmup: int = 5,
    precision: Precision | None = None,
) -> Timing:
    """Time ``model`` from normalised images on its device to label maps there, by its ``test_cfg``.

    Args:
        model: A segmentor in evaluation mode; ``model.exact`` decides which operators run.
        hw: Height and width of the images.
        batch_size: Images at once.
        repeat, warmup: Runs that count, and runs before them that do not.
        precision: Autocast; float32 by default.

    Raises:
        UserError: the model cannot process such images, or they do not fit into memory.
    """
    device = next(model.parameters()).device
    precision = precision or Precision()
    images = torch.randn_like(image_for(model, hw, device, batch_size))
    shape = (*hw, images.shape[1])
    metas: list[dict[str, Any]] = [
        {"ori_shape": shape, "img_shape": shape, "pad_shape": shape, "scale_factor": 1.0, "flip": False}
        for _ in range(batch_size)
    ]

    def run() -> None:
        with torch.inference_mode(), precision.autocast(device):
            model.predict(images, metas)

    try:
        run()
        return measure(run, device, repeat, max(warmup - 1, 0), batch_size)
    except torch.OutOfMemoryError:
        raise UserError(
            f"{batch_size} x {hw[0]}x{hw[1]} does not fit into the memory of {device};"
            " take a smaller --batch-size or --shape"
        ) from None
    except RuntimeError as error:
        raise cannot_run(type(model).__name__, hw, error) from error


def print_benchmark(args: Namespace) -> None:
    """Run ``tools/benchmark.py``."""
    hw = parse_shape(args.shape)
    for name in ("batch_size", "repeat", "warmup"):
        least = 0 if name == "warmup" else 1
        if getattr(args, name) < least:
            option = "--" + name.replace("_", "-")
            raise UserError(f"{option} {getattr(args, name)} must be {least} or more")
    device = named_device(args.device)
    section = model_section(args.config, args.cfg_options)
    model = build_for_cost(section, torch.device("cpu"), exact=bool(section.get("exact")))
    if args.checkpoint:
        weights = state_dict_of(read_checkpoint(args.checkpoint), args.checkpoint)
        load_into(model, weights, purpose="test", source=args.checkpoint, logger=get_root_logger())
    model = model.to(device)
    if args.compile:
        compile_model(model, {"compile": True})
    dtype = "float16" if args.fp16 else "bfloat16" if args.bf16 else "float32"
    timing = benchmark_model(
        model, hw, args.batch_size, args.repeat, args.warmup, precision_from({"dtype": dtype})
    )

    print(f"model:       {args.config}, {args.checkpoint or 'random weights'}")
    print(f"input:       {args.batch_size} x {hw[0]}x{hw[1]}, {dtype}{', compiled' if args.compile else ''}")
    print(f"device:      {_describe(device)}")
    low, high = (f"{1000 * seconds:.2f}" for seconds in timing.spread)
    print(
        f"latency:     {1000 * timing.median:.2f} ms (median of {args.repeat} runs; 10 % to 90 %:"
        f" {low} to {high} ms)"
    )
    print(f"throughput:  {timing.images_per_second:.2f} images/s")
    of = "of the whole process" if device.type == "cpu" else "on the device"
    peak = "unknown" if timing.peak_bytes is None else f"{timing.peak_bytes / 2**20:.0f} MiB {of}"
    print(f"peak memory: {peak}")


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
