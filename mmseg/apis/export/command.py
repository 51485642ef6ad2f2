"""What the exporting tools do with their arguments."""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from mmseg.apis.cost import image_for, parse_shape
from mmseg.apis.export.check import read_picture
from mmseg.apis.export.describe import image_size_of
from mmseg.apis.export.export import DifferenceError, export_model, size_divisor_of
from mmseg.apis.export.formats import DEFAULT_OPSET, ONNX, PROGRAM, TORCHSCRIPT, check_onnx
from mmseg.apis.inference import init_segmentor
from mmseg.apis.setup import prepare_config
from mmseg.utils.errors import UserError

FORMATS = {"onnx": ONNX, "torchscript": TORCHSCRIPT, "program": PROGRAM}
FALLBACK_HW = (512, 512)


def export_from_args(args: Namespace, kind: str) -> None:
    """Run ``tools/pytorch2onnx.py`` and its kin; status 1 where the file differs from PyTorch.

    Args:
        args: Of :func:`mmseg.config.export_arguments.export_parser`.
        kind: ``'onnx'``, ``'torchscript'`` or ``'program'``.

    Raises:
        UserError: a mistake in the arguments, the config or the checkpoint.
    """
    form = FORMATS[kind]
    opset = getattr(args, "opset_version", DEFAULT_OPSET)
    if form is ONNX:
        check_onnx(opset)
    if not args.output_file.endswith(form.suffix) and form is PROGRAM:
        raise UserError(f"--output-file {args.output_file}: torch.export's files end in {form.suffix}")
    if os.path.isdir(args.output_file):
        raise UserError(f"--output-file {args.output_file} is a folder; give a file in it")
    if not args.tolerance >= 0:
        raise UserError(f"--tolerance must not be negative, and is {args.tolerance}")
    hw = parse_shape(args.shape) if args.shape else None
    cfg = prepare_config(args.config, args.cfg_options)
    model = init_segmentor(cfg, args.checkpoint, device="cpu")
    if hw is None:
        divisor = size_divisor_of(model)
        hw = tuple(-(-side // divisor) * divisor for side in image_size_of(cfg) or FALLBACK_HW)
    picture = (
        read_picture(args.input_img, image_for(model, (1, 1), "meta").shape[1]) if args.input_img else None
    )
    if args.checkpoint is None:
        print("no --checkpoint: the weights are random")
    test_cfg = model.test_cfg or {}
    if test_cfg.get("mode") == "slide":
        print(
            f"the config tests with windows of {test_cfg.get('crop_size')}, {test_cfg.get('stride')} apart;"
            " the graph takes what it is given as one window"
        )
    try:
        export_model(
            model,
            args.output_file,
            form,
            hw=hw,
            dynamic=not args.fixed_shape,
            with_preprocessing=args.with_preprocessing,
            argmax=args.argmax,
            opset=opset,
            tolerance=args.tolerance,
            picture=picture,
            config=args.config,
            checkpoint=args.checkpoint,
            show=args.show,
        )
    except DifferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    sizes = f"one image of {hw[0]}x{hw[1]}" if args.fixed_shape else "images of any size, any number of them"
    megabytes = os.path.getsize(args.output_file) / 1e6
    print(f"wrote {args.output_file} ({megabytes:.1f} MB), for {sizes}")
