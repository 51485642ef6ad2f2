"""How long is a training step, and how much memory does it take?

Forward, cross entropy over 19 classes, backward and AdamW, on random images and labels. Every contestant is a
process of its own with the same batch, dtype and number of threads; we run as our tools run, with freed
memory kept (a second table gives every contestant that setting). The auxiliary heads, which peers do not
have, are left out; an extra row has them.

The limit is the larger of two: the operations of our architecture over the rate of a large matrix product,
and the bytes that must be moved over the bandwidth. GFLOP count the architecture, ours without its shortcuts.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness.arguments import apply, bench_parser
from benchmarks.harness.limits import limit, matmul_rate, memory_bandwidth
from benchmarks.harness.machine import peer
from benchmarks.harness.report import Table, record
from benchmarks.harness.timing import Timing, alternate_processes, ratio
from benchmarks.train_loader import loader_share
from benchmarks.train_models import MARKED, ROWS
from mmseg.utils.errors import UserError, run_tool

WORKER = str(Path(__file__).with_name("train_worker.py"))
GPU_MARK, GPU_LIMIT_MARK = 2.0, 2.5
SIZES = ("384x384", "512x1024")
COLUMNS = ("model", "size", "dtype", "mode")


def parse_args() -> argparse.Namespace:
    parser = bench_parser(__doc__, rounds=5)
    parser.add_argument(
        "--rows", nargs="+", help=f"models, or `all` ({', '.join(ROWS)}; default: the marked)"
    )
    parser.add_argument("--sizes", nargs="+", help="HxW (default 384x384; on a GPU 512x1024 too)")
    parser.add_argument("--dtypes", nargs="+", choices=["fp32", "bf16"], help="default fp32; on a GPU both")
    parser.add_argument("--compile", action="store_true", help="compiled too")
    parser.add_argument("--batch", type=int, help="images per step (default 4; on a CPU 1 for UNet)")
    parser.add_argument("--device", help="default: the GPU if there is one, else the CPU")
    parser.add_argument("--no-equal", action="store_true", help="without the table of equal allocators")
    return parser.parse_args()


def main() -> None:
    args = apply(parse_args())
    settle(args)
    tables = [bench_cases(args, table=Table(title(args), COLUMNS), equal=False)]
    if args.device == "cpu" and not args.no_equal and not args.quick:
        equal = Table("the same, everybody with freed memory kept", COLUMNS)
        tables.append(bench_cases(args, table=equal, equal=True))
    if args.device != "cpu":
        tables.append(loader_share(args.device, quick=args.quick))
    for table in tables:
        table.print()
    rates = {
        "gflops_fp32": matmul_rate(device=args.device, quick=args.quick) / 1e9,
        "gbytes_per_s": memory_bandwidth(args.device, quick=args.quick) / 1e9,
    }
    rows = [row for table in tables for row in table.rows]
    record("train", rows, args.out, quick=args.quick, device=args.device, rates=rates)


def settle(args: argparse.Namespace) -> None:
    """Fill in the defaults, which a GPU and a CPU have of their own.

    Raises:
        UserError: an unknown row or a size that is none.
    """
    import torch

    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = args.device != "cpu"
    # A bare call on a CPU adds B0 in bf16, and leaves out what else takes minutes.
    args.bare = not on_gpu and not (args.rows or args.sizes or args.dtypes or args.compile or args.quick)
    if args.rows == ["all"] or (args.rows is None and on_gpu):
        args.rows = list(ROWS)
    args.rows = args.rows or list(MARKED)
    args.sizes = args.sizes or list(SIZES if on_gpu else SIZES[:1])
    args.dtypes = args.dtypes or (["fp32", "bf16"] if on_gpu else ["fp32"])
    args.compile = args.compile or on_gpu
    if args.quick:
        args.sizes, args.batch, args.rows = ["64x64"], 2, args.rows[:1]
    if args.batch is not None and args.batch < 1:
        raise UserError(f"--batch is a number of images above 0, not {args.batch}")
    for name in args.rows:
        if name not in ROWS:
            raise UserError(f"--rows: there is no {name} (there are: {', '.join(ROWS)})")
    try:
        args.sizes = [[int(side) for side in size.split("x")] for size in args.sizes]
    except ValueError:
        raise UserError(f"--sizes are HxW such as 384x384, not {' '.join(args.sizes)}") from None


def title(args: argparse.Namespace) -> str:
    """Of the first table."""
    return f"a training step on {args.device}"


def batch_of(args: argparse.Namespace, name: str) -> int:
    """Images per step of a row."""
    return args.batch or (ROWS[name].cpu_batch if args.device == "cpu" else 4)


def bench_cases(args: argparse.Namespace, table: Table, equal: bool) -> Table:
    """Measure every case into ``table``; ``equal``: everybody keeps freed memory, marked cases only."""
    cases = [
        (name, size, dtype, compiled)
        for name in args.rows
        for size in args.sizes
        for dtype in args.dtypes
        for compiled in ([False, True] if args.compile and not equal else [False])
    ]
    if equal:
        cases = [case for case in cases if ROWS[case[0]].mark and case[2] == "fp32"]
        if args.bare:  # the one whose large tensors make most of it
            cases = [case for case in cases if case[0] == "segformer-b0"]
    elif args.bare:
        b0 = ("segformer-b0", args.sizes[0])
        cases.append((*b0, "bf16", False))
    for name, size, dtype, compiled in cases:
        tasks = contestants(args, name, size, dtype, compiled, equal)
        timings = measure(args, tasks)
        if timings:
            add(table, args, timings, (name, "x".join(map(str, size)), dtype, compiled), equal)
    return table


def contestants(
    args: argparse.Namespace, name: str, size: list[int], dtype: str, compiled: bool, equal: bool
) -> dict[str, dict[str, Any]]:
    """Name → what ``train_worker.py`` is told."""
    row = ROWS[name]
    size = [-(-side // row.divisor) * row.divisor for side in size]
    common = {"row": name, "size": size, "batch": batch_of(args, name), "dtype": dtype, "device": args.device}
    own = {**common, "contestant": "ours", "compile": compiled, "keep_memory": True}
    own["channels_last"] = row.channels_last
    tasks = {"ours": own}
    if has_auxiliary(name) and not equal and not args.bare:
        tasks["ours with its auxiliary head"] = {**own, "auxiliary": True}
    for label, function, settings in row.peers:
        module = "transformers" if function.startswith("transformers") else "segmentation_models_pytorch"
        if peer(module) is None or (args.bare and label not in row.nearest):
            continue
        # On a GPU the mark is against the peer as it is; ours compiled stands beside that.
        mode = compiled and args.device == "cpu"
        tasks[label] = {**common, "contestant": function, "settings": settings, "compile": mode}
        tasks[label] |= {"keep_memory": equal, "channels_last": False}
    return tasks


def has_auxiliary(name: str) -> bool:
    """Whether the config of a row has an auxiliary head."""
    from mmseg.config import Config

    root = Path(__file__).resolve().parents[1]
    return bool(Config.fromfile(str(root / "configs" / ROWS[name].config)).model.get("auxiliary_head"))


def measure(args: argparse.Namespace, tasks: dict[str, dict[str, Any]]) -> dict[str, Timing]:
    """Times of all contestants; empty where a process fails (a model too large for the memory, say)."""
    lines = {name: ["python", WORKER, json.dumps(task)] for name, task in tasks.items()}
    try:
        return alternate_processes(
            lines, rounds=args.rounds, warmup=1 if args.device == "cpu" else 5, budget_s=60
        )
    except RuntimeError as error:
        print(f"{tasks['ours']['row']}: not measured: {str(error).splitlines()[-1]}", flush=True)
        return {}


def add(
    table: Table, args: argparse.Namespace, timings: dict[str, Timing], case: tuple[Any, ...], equal: bool
) -> None:
    """The rows of one case: times with marks, then GFLOP and the ratio per GFLOP."""
    import torch

    name, size, dtype, compiled = case
    row, own = ROWS[name], timings["ours"].notes
    on_gpu = args.device != "cpu"
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    bound = limit(
        flop=own["gflop"] * 1e9, moved_bytes=own["gbyte"] * 1e9, dtype=kind, device=args.device,
        quick=args.quick,
    )  # fmt: skip
    label = [name, f"{batch_of(args, name)} x {size}", dtype, "compiled" if compiled else "eager"]
    peers = [n for n in timings if not n.startswith("ours")]
    marks: dict[str, float] = {}
    nearest = [n for n in row.nearest if n in timings]
    if on_gpu:
        marked = dtype == "bf16" and name.startswith("segformer")
        marks = {"transformers": GPU_MARK} if marked and "transformers" in timings else {}
    elif row.mark and dtype == "fp32" and not compiled and nearest and not equal:
        marks = {min(nearest, key=lambda n: timings[n].median): row.mark}
    table.compare(
        timings,
        ours="ours",
        case=label,
        marks=marks,
        peers=peers,
        limit=bound,
        limit_mark=GPU_LIMIT_MARK if on_gpu and dtype == "bf16" else None,
        less_memory=not on_gpu and name == "segformer-b0" and bool(marks),
    )
    for other in ["ours", *peers]:
        table.value(f"{other}: operations", timings[other].notes["gflop"], "GFLOP", case=label)
    for other in peers:
        share = timings[other].notes["gflop"] / own["gflop"]
        table.value(
            f"{other}: ours is faster per GFLOP by", ratio(timings, "ours", other) / share, "x", case=label
        )


if __name__ == "__main__":
    run_tool(main)
