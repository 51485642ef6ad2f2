"""Count a model's FLOPs and parameters."""

from __future__ import annotations

from mmseg.config.cost_arguments import cost_parser
from mmseg.utils.errors import run_tool


def main() -> None:
    args = cost_parser(__doc__).parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.cost_tools import print_flops

    print_flops(args)


if __name__ == "__main__":
    run_tool(main)
