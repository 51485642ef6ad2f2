"""Write a model as a program of torch.export (.pt2), checked against PyTorch."""

from __future__ import annotations

from mmseg.config.export_arguments import export_parser
from mmseg.utils.errors import run_tool


def main() -> None:
    parser = export_parser(__doc__, output_file="tmp.pt2")
    args = parser.parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.export import export_from_args

    export_from_args(args, "program")


if __name__ == "__main__":
    run_tool(main)
