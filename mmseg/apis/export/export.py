"""Export a model: write the file, check it, and only then give it its name."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mmseg.apis.cost import first_line, image_for
from mmseg.apis.export.check import Difference, compare, inputs_of, sizes_to_check, table
from mmseg.apis.export.describe import check_can_be_built_in, describe, preprocessing_of
from mmseg.apis.export.files import replaced_when_done
from mmseg.apis.export.formats import DEFAULT_OPSET, ONNX, Format, Job, check_onnx
from mmseg.apis.export.graph import ExportedSegmentor
from mmseg.config.export_arguments import TOLERANCE
from mmseg.utils.errors import UserError


class DifferenceError(RuntimeError):
    """The exported file does not compute what the model computes; nothing was written."""


def export_model(
    model: nn.Module,
    path: str,
    kind: Format = ONNX,
    *,
    hw: tuple[int, int] = (512, 512),
    dynamic: bool = True,
    with_preprocessing: bool = False,
    argmax: bool = False,
    opset: int = DEFAULT_OPSET,
    tolerance: float = TOLERANCE,
    picture: np.ndarray | None = None,
    config: str = "",
    checkpoint: str | None = None,
    show: bool = False,
) -> list[Difference]:
    """Write ``model`` to ``path``, checked against PyTorch.

    Args:
        model: From ``init_segmentor``, on the CPU.
        path: The file; what it was before is there until the new one has passed the check.
        kind: ``ONNX``, ``TORCHSCRIPT`` or ``PROGRAM``.
        hw: Size of the images of the check; with ``dynamic=False`` the only size the file takes.
        dynamic: Take any number of images of any size (that the model takes); else one image of ``hw``.
        with_preprocessing: Build the test pipeline's normalisation in.
        argmax: Give label maps.
        opset: Version of ONNX's operators.
        tolerance: Largest :attr:`Difference.relative`.
        picture: BGR (H, W, 3) uint8 to check with, in place of noise.
        config, checkpoint: Named in the metadata.
        show: Print the graph.

    Returns:
        One difference for each size checked; they are printed as a table, too.

    Raises:
        UserError: a setting that the model or the exporter does not allow.
        DifferenceError: the file differs from PyTorch by more than ``tolerance``.
    """
    if kind is ONNX:
        check_onnx(opset)
    channels = image_for(model, (1, 1), torch.device("meta")).shape[1]
    if with_preprocessing:
        check_can_be_built_in(model.cfg)
    preprocessing = preprocessing_of(getattr(model, "cfg", None) or {}, channels)
    module = ExportedSegmentor(model, preprocessing if with_preprocessing else None, argmax).eval()
    divisor = size_divisor_of(model)
    if hw[0] % divisor or hw[1] % divisor:
        fit = " ".join(str(-(-side // divisor) * divisor) for side in hw)
        raise UserError(
            f"--shape {hw[0]} {hw[1]}: this model's images must divide by {divisor}; use --shape {fit}"
        )
    metadata = describe(
        model,
        preprocessing,
        config=config,
        checkpoint=checkpoint,
        built_in=with_preprocessing,
        argmax=argmax,
        size_divisor=divisor,
        fixed_hw=None if dynamic else hw,
    )
    sizes = sizes_to_check(hw, divisor, kind.smallest) if dynamic else [(1, hw)]
    images = inputs_of(module, preprocessing, sizes, picture)
    example_size = (
        (2, tuple(-(-side // divisor) * divisor for side in kind.example_hw)) if dynamic else (1, hw)
    )
    example = next(inputs_of(module, preprocessing, [example_size]))
    with replaced_when_done(path) as (temporary, _):
        job = Job(module, example, divisor, dynamic, metadata, opset)
        graph = _write(kind, job, temporary)
        if show:
            print(graph())
        run = kind.load(temporary)
        differences = [_compared(module, run, image, kind) for image in images]
        print(f"{kind.name} run by {kind.runtime}, against PyTorch:")
        print(table(differences))
        worst = max(differences, key=lambda d: d.relative)
        if worst.relative > tolerance:
            raise DifferenceError(
                f"{kind.name} differs from PyTorch by {worst.largest:.2e} at {worst.hw[0]}x{worst.hw[1]},"
                f" where logits reach {worst.largest_logit:.3g}: more than the tolerance of {tolerance:g};"
                f" {path} was not written"
            )
    return differences


def size_divisor_of(model: nn.Module) -> int:
    """What the height and the width of the model's images must divide by."""
    return int(getattr(model.backbone, "size_divisor", 1))


def _write(kind: Format, job: Job, path: str) -> object:
    try:
        return kind.write(job, path)
    except (UserError, OSError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # exporters fail anywhere and anyhow on operators that they do not know
        advice = "; --fixed-shape may work" if job.dynamic else ""
        raise UserError(
            f"this model cannot be exported to {kind.name}: {first_line(error)}{advice}"
        ) from error


def _compared(module: ExportedSegmentor, run: object, image: Tensor, kind: Format) -> Difference:
    try:
        return compare(module, run, image)
    except UserError:
        raise
    except Exception as error:  # each runtime has errors of its own
        raise DifferenceError(
            f"{kind.runtime} cannot run the exported file on {tuple(image.shape)}: {first_line(error)}"
        ) from error
