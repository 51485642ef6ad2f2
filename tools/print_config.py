"""Print a config as it is after its bases and the overrides of the command line, then check its keys."""

from __future__ import annotations

import argparse

from mmseg.config import Config, DictAction, check_config
from mmseg.utils.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file (.py, .yaml or .json)")
    parser.add_argument(
        "--cfg-options",
        "--options",
        nargs="+",
        action=DictAction,
        help='overrides, such as optimizer.lr=1e-4 data.train.pipeline.0.type=X crop="(512, 512)" '
        "(--options is the old name)",
    )
    args = parser.parse_args()
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    print(config.pretty_text, end="", flush=True)
    check_config(config)


if __name__ == "__main__":
    run_tool(main)
