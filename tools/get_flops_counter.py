"""Print a model's modules, each with its parameters and multiply-adds."""

from __future__ import annotations

from mmseg.config.cost_arguments import cost_parser
from mmseg.utils.errors import run_tool


def main() -> None:
    args = cost_parser(__doc__).parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.cost_tools import print_cost_tree

    print_cost_tree(args)


if __name__ == "__main__":
    run_tool(main)
