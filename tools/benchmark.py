"""Measure how fast a model turns images into label maps: latency, throughput, peak memory."""

from __future__ import annotations

import argparse

from mmseg.config.cost_arguments import cost_parser
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = cost_parser(__doc__)
    parser.add_argument("checkpoint", nargs="?", help="checkpoint file; without one the weights are random")
    parser.add_argument("--batch-size", type=int, default=1, help="images at once (default 1)")
    parser.add_argument("--repeat", type=int, default=30, help="timed runs (default 30)")
    parser.add_argument("--warmup", type=int, default=5, help="runs before them (default 5)")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument("--fp16", action="store_true", help="float16 autocast")
    precision.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--device", help="cpu, cuda:0, ...; by default the best there is")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.benchmark import print_benchmark

    print_benchmark(args)


if __name__ == "__main__":
    run_tool(main)
