"""Print a model's layers with the sizes of their inputs and outputs, by torchinfo."""

from __future__ import annotations

from mmseg.config.cost_arguments import cost_parser
from mmseg.utils.errors import run_tool


def main() -> None:
    args = cost_parser(__doc__, max_depth=3).parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.cost_tools import print_network_summary

    print_network_summary(args)


if __name__ == "__main__":
    run_tool(main)
