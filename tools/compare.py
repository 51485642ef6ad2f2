"""Say whether B scores better than A on the same images, and how sure that is (paired bootstrap)."""

from __future__ import annotations

import argparse

from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("A", "B"):
        parser.add_argument(
            name.lower(), metavar=name, help="eval_*.json, kfold.json, or report_data.npz of tools/report.py"
        )
    parser.add_argument("--names", nargs=2, metavar=("A", "B"), help="what the two are called")
    parser.add_argument("--rounds", type=int, default=2000, help="resamples (default 2000)")
    parser.add_argument("--level", type=float, default=0.95, help="share inside the interval (default 0.95)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (default 0)")
    parser.add_argument("--out", help="also write the figures to this .json file")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.compare import compare_from_args

    compare_from_args(args)


if __name__ == "__main__":
    run_tool(main)
