"""What the command lines of ``tools/model_converters`` share."""

from __future__ import annotations

import argparse
import os

from mmseg.utils.errors import UserError

_ENDINGS = (".pth", ".pt")


def parse(description: str | None) -> argparse.Namespace:
    """Parse ``SRC DST [--force]``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("src", help="published checkpoint (.pth or .safetensors)")
    parser.add_argument("dst", help="file to write (.pth): the weights of the backbone in our names")
    parser.add_argument("--force", action="store_true", help="replace DST if it is there")
    return parser.parse_args()


def convert_file(kind: str, src: str, dst: str, *, force: bool = False) -> None:
    """Read ``src`` without running code of it, convert it and write ``dst``, whole or not at all.

    Args:
        kind: ``mit``, ``swin`` or ``resnet``.
        force: Replace an existing ``dst``.

    Raises:
        UserError: ``src`` cannot be read or is of another family, ``dst`` exists or cannot be written.
    """
    _check_target(dst, force)
    # torch is imported only now, so that a wrong name is told at once.
    from mmseg.conversion import weights_mit, weights_resnet, weights_swin
    from mmseg.conversion.weights import take_apart
    from mmseg.utils.checkpoint import read_checkpoint, save_checkpoint, state_dict_of

    layout, settings = {
        "mit": (weights_mit.MIT, weights_mit.mit_settings),
        "swin": (weights_swin.SWIN, weights_swin.swin_settings),
        "resnet": (weights_resnet.RESNET, weights_resnet.resnet_settings),
    }[kind]
    weights = state_dict_of(read_checkpoint(src), src)
    converted = layout.convert(weights, src)
    dropped = take_apart(weights, layout, src)[1]
    try:
        save_checkpoint(converted, dst)
    except UserError as error:
        reason = getattr(error.__cause__, "strerror", None)
        raise UserError(f"cannot write {dst}: {reason or error}; give another DST") from error
    if dropped:
        print(f"left out, as the backbone has no counterpart: {', '.join(_grouped(dropped))}")
    print(f"wrote {len(converted)} tensors of {layout.name} to {dst}")
    print(f"they fit {settings(converted)}")
    print(f"use them with model.backbone.init_cfg=dict(type='Pretrained', checkpoint={dst!r})")


def _grouped(keys: list[str]) -> list[str]:
    """``keys``, those of a segmentor's heads as one entry for each head."""
    return list(dict.fromkeys(f"{k.split('.')[0]}.*" if "_head." in k else k for k in keys))


def _check_target(dst: str, force: bool) -> None:
    if not dst.endswith(_ENDINGS):
        raise UserError(f"DST {dst} must end in .pth, as the format is PyTorch's")
    if os.path.isdir(dst):
        raise UserError(f"DST {dst} is a folder; give a file in it")
    if os.path.exists(dst) and not force:
        raise UserError(f"DST {dst} is there already; --force replaces it")
