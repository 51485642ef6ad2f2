"""Make a checkpoint ready to be given away: weights only, with a hash in its name."""

from __future__ import annotations

import argparse

from mmseg.utils.errors import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("in_file", metavar="IN", help="checkpoint of a run")
    parser.add_argument("out_file", metavar="OUT", help="name of the result; OUT.pth becomes OUT-HASH.pth")
    parser.add_argument("--safetensors", action="store_true", help="write OUT-HASH.safetensors as well")
    args = parser.parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.publish import print_published

    print_published(args.in_file, args.out_file, args.safetensors)


if __name__ == "__main__":
    run_tool(main)
