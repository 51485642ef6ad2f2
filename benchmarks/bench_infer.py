"""How long does an image take: one view, and the twelve of a test with scales and flips?

Every contestant runs in a process of its own. "As installed" ours keeps freed memory, as our tools do, and
the others have the allocator as it comes; in "same allocator" all of them keep it. The yardstick is our own
code with every switch on `exact`: the transforms one by one, one forward pass per view, and each step on maps
of full size. DeepLabV3+ and PSPNet of segmentation-models-pytorch are other networks than those of the same
name here (maps at 1/16 instead of 1/8, a shorter backbone), with a part of the operations: see `GFLOP`.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.harness.arguments import apply, bench_parser
from benchmarks.harness.limits import limit
from benchmarks.harness.report import Table, record
from benchmarks.harness.timing import alternate_processes
from benchmarks.infer_cases import HW, our_model, street_picture, their_model
from mmseg.utils.errors import run_tool

PEERS = {
    "SegFormer-B0": ("transformers", "smp"),
    "DeepLabV3+ R18": ("smp",),
    "PSPNet R18": ("smp",),
    "UNet": (),
}
PACKAGES = {"transformers": "transformers", "smp": "segmentation_models_pytorch"}
SETTINGS = ("as installed", "same allocator")
QUESTIONS = ("single", "prepare", "views")
LEAST_AGREEMENT = 99.9


def contestants(
    question: str,
    who: Sequence[str],
    setting: str,
    arguments: Sequence[Any],
    own: Mapping[str, Sequence[Any]],
) -> dict[str, list[str]]:
    """Name → command line of its process; ``own`` has further arguments of some."""
    found = {}
    for name in who:
        argv = ["python", "-m", "benchmarks.infer_cases", question, name, *arguments, *own.get(name, ())]
        keeps = name == "ours" or setting == "same allocator"
        found[name] = [str(a) for a in (*argv, *(["--keep-memory"] if keeps else []))]
    return found


def flop_of(call: Callable[[Any], Any], hw: tuple[int, int]) -> int:
    """Operations of one image through ``call``, a multiply-add as two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        call(torch.zeros(1, 3, *hw))
    return counter.get_total_flops()


def single(args: Any, hw: tuple[int, int]) -> tuple[Table, Table]:
    """One image of ``hw`` through each model."""
    table = Table(f"one image, {hw[0]}x{hw[1]}, fp32, to logits", ["model", "setting"])
    rates = Table("operations of an image, and images per second, fp32", ["model", "batch"])
    for name, peers in PEERS.items():
        here = [peer for peer in peers if importlib.util.find_spec(PACKAGES[peer])]
        flop = flop_of(our_model(name).forward_dummy, hw)
        bound = limit(flop=flop, quick=args.quick)
        work = {"ours": flop, **{peer: flop_of(their_model(peer, name), hw) for peer in here}}
        for who, operations in work.items():
            rates.value(who, operations / 1e9, "GFLOP", case=[name, 1])
        common = ["--threads", args.threads, "--hw", *hw, "--model", name]
        for setting in SETTINGS if name == "SegFormer-B0" else SETTINGS[:1]:  # each process takes seconds
            commands = contestants("forward", ["ours", *here], setting, common, {})
            timings = alternate_processes(commands, rounds=args.rounds, budget_s=8)
            mark = 1.5 if name == "SegFormer-B0" and setting == SETTINGS[0] else None
            table.compare(timings, ours="ours", case=[name, setting], mark=mark, limit=bound)
            if setting == SETTINGS[0]:
                rates.value("ours", 1 / timings["ours"].median, "images/s", case=[name, 1])
    several = ["--threads", args.threads, "--hw", *hw, "--model", "SegFormer-B0", "--batch", 4]
    commands = contestants("forward", ["ours"], SETTINGS[0], several, {})
    timing = alternate_processes(commands, rounds=min(5, args.rounds), budget_s=8)["ours"]
    rates.value("ours", 4 / timing.median, "images/s", case=["SegFormer-B0", 4])
    return table, rates


def preparation(args: Any, image: Path) -> Table:
    """A PNG file to the tensors of six scales, unflipped and flipped."""
    table = Table("preparing a test of 6 scales x 2 flips from one 1242x375 PNG", ["setting"])
    for setting in SETTINGS:
        common = ["--threads", args.threads, "--image", image]
        commands = contestants("prepare", ["ours", "yardstick"], setting, common, {})
        timings = alternate_processes(commands, rounds=max(args.rounds, 1 if args.quick else 15), warmup=3)
        bound = limit(moved_bytes=timings["ours"].notes["bytes"], quick=args.quick)
        marks = {"yardstick": 4.0}
        table.compare(timings, ours="ours", case=[setting], marks=marks, peers=[], limit=bound)
    return table


def views(args: Any, image: Path, folder: Path, hw: tuple[int, int]) -> Table:
    """A PNG file to a label map averaged over six scales, unflipped and flipped."""
    table = Table("test of 6 scales x 2 flips of one image, SegFormer-B0, file to label map", ["setting"])
    model, flop = our_model("SegFormer-B0"), 0
    for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75):
        sides = [-(-int(side * ratio) // 32) * 32 for side in hw]
        flop += 2 * flop_of(model.forward_dummy, tuple(sides))
    bound = limit(flop=flop, quick=args.quick)
    for setting, rounds in zip(SETTINGS, (5, 2), strict=True):
        own = {who: ["--labels", folder / f"{who}.npy"] for who in ("ours", "yardstick")}
        common = ["--threads", args.threads, "--image", image, "--hw", *hw]
        commands = contestants("label", list(own), setting, common, own)
        timings = alternate_processes(commands, rounds=min(args.rounds, rounds))
        marks = {"yardstick": 2.0}
        table.compare(timings, ours="ours", case=[setting], marks=marks, peers=[], limit=bound)
    ours, theirs = (np.load(folder / f"{who}.npy") for who in ("ours", "yardstick"))
    agreement = 100 * float((ours == theirs).mean())
    table.value("label maps agree", agreement, "%", goal=LEAST_AGREEMENT)
    return table


def main() -> None:
    """Measure all questions, print the tables and record them."""
    parser = bench_parser(__doc__)
    parser.add_argument("--image", type=Path, help="a PNG file to test with (default: a drawn street)")
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=QUESTIONS, help="some questions")
    args = apply(parser.parse_args())
    hw = (64, 128) if args.quick else HW
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = args.image or folder / "street.png"
        if args.image is None:
            street_picture(image)
        tables: list[Table] = []
        for question in args.only:
            if question == "single":
                made = single(args, hw)
            elif question == "prepare":
                made = (preparation(args, image),)
            else:
                made = (views(args, image, folder, hw),)
            for table in made:
                table.print()
            tables += made
    record("infer", [row for table in tables for row in table.rows], args.out, quick=args.quick)


if __name__ == "__main__":
    run_tool(main)
