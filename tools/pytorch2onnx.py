"""Write a model as ONNX, checked in onnxruntime."""

from __future__ import annotations

from mmseg.config.export_arguments import export_parser
from mmseg.utils.errors import run_tool


def main() -> None:
    parser = export_parser(__doc__, output_file="tmp.onnx")
    parser.add_argument(
        "--opset-version", type=int, default=18, help="version of ONNX's operators, 18 or newer (default 18)"
    )
    args = parser.parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.export import export_from_args

    export_from_args(args, "onnx")


if __name__ == "__main__":
    run_tool(main)
