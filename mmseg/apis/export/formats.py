"""Writing a module in each format, and running the file by that format's own runtime."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmseg.apis.export.describe import INPUT, as_text
from mmseg.apis.export.graph import ExportedSegmentor
from mmseg.utils.errors import UserError

METADATA_FILE = "metadata.json"
MIN_OPSET, DEFAULT_OPSET = 18, 18  # below 18, ONNX has no resizing as PyTorch's exporter writes it
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Job:
    """What to write.

    Attributes:
        module: In evaluation mode, on the CPU.
        example: An input of it.
        size_divisor: Of the heights and widths that it takes.
        dynamic: Whether the file takes other sizes than the example's.
        metadata: From :func:`describe`.
        opset: Version of ONNX's operators.
    """

    module: ExportedSegmentor
    example: Tensor
    size_divisor: int
    dynamic: bool
    metadata: Mapping[str, Any]
    opset: int = DEFAULT_OPSET


@dataclass(frozen=True)
class Format:
    """A format: its name, the ending of its files, its runtime, and what writes and loads one.

    Attributes:
        write: ``write(job, path)`` gives a function that gives the graph as text.
        load: ``load(path)`` gives a function of the input.
        example_hw: Size of the image of which a graph for all sizes is made.
        smallest: Side of the smallest images of the check.
    """

    name: str
    suffix: str
    runtime: str
    write: Callable[[Job, str], Callable[[], str]]
    load: Callable[[str], Run]
    example_hw: tuple[int, int]
    smallest: int


def check_onnx(opset: int = DEFAULT_OPSET) -> None:
    """Raise ``UserError`` unless the packages are there and know ``opset``."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(
                f"{package} cannot be imported ({error}); install what export needs with:"
                ' pip install -e ".[export]"'
            ) from None
    from onnx.defs import onnx_opset_version

    newest = onnx_opset_version()
    if not MIN_OPSET <= opset <= newest:
        raise UserError(f"--opset-version {opset}: PyTorch's exporter writes {MIN_OPSET} to {newest}")


def _exported_program(job: Job) -> torch.export.ExportedProgram:
    dims: dict[int, Any] = {}
    if job.dynamic:
        rows, columns = (1, 2) if job.module.normalises else (2, 3)
        dims = {0: torch.export.Dim.DYNAMIC}
        for axis, name in ((rows, "_rows"), (columns, "_columns")):
            # A model that asks for multiples is told that they are.
            unit = torch.export.Dim(name, min=2) if job.size_divisor > 1 else None
            dims[axis] = job.size_divisor * unit if unit is not None else torch.export.Dim.DYNAMIC
    with _quiet(), torch.no_grad():
        return torch.export.export(
            job.module, (job.example,), dynamic_shapes={"img": dims or None}, strict=False
        )


def _write_program(job: Job, path: str) -> Callable[[], str]:
    program = _exported_program(job)
    with _quiet():
        torch.export.save(program, path, extra_files={METADATA_FILE: json.dumps(job.metadata)})
    return lambda: str(program.graph)


def _load_program(path: str) -> Run:
    with _quiet():
        return torch.export.load(path).module()


def _write_script(job: Job, path: str) -> Callable[[], str]:
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(job.module, job.example, check_trace=False)
        torch.jit.save(traced, path, _extra_files={METADATA_FILE: json.dumps(job.metadata)})
    return lambda: str(traced.inlined_graph)


def _load_script(path: str) -> Run:
    with _quiet():
        module = torch.jit.load(path, map_location="cpu")

    def run(image: Tensor) -> Tensor:
        with torch.jit.optimized_execution(False):  # it would compile anew for every size
            return module(image)

    return run


def _write_onnx(job: Job, path: str) -> Callable[[], str]:
    import onnx

    program = _exported_program(job)
    output = job.metadata["output_name"]
    with _quiet(), torch.no_grad():
        made = torch.onnx.export(
            program,
            (job.example,),
            dynamo=True,
            opset_version=job.opset,
            input_names=[INPUT],
            output_names=[output],
            verbose=False,
        )
    proto = made.model_proto
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    if versions != [job.opset]:
        raise UserError(
            f"--opset-version {job.opset}: this model's operators could not be brought to it, only to"
            f" {', '.join(map(str, versions))}; leave the option out"
        )
    _name_sizes(proto, "NHW" if job.module.normalises else "NCHW", "NHW" if job.module.argmax else "NCHW")
    del proto.metadata_props[:]
    for key, value in as_text(job.metadata).items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    return lambda: onnx.printer.to_text(proto)


def _name_sizes(proto: Any, input_axes: str, output_axes: str) -> None:
    """Call the unknown sizes ``batch``, ``height``, ``width``, and leave out the shapes in between."""
    names = {"N": "batch", "H": "height", "W": "width"}
    for value, axes in ((proto.graph.input[0], input_axes), (proto.graph.output[0], output_axes)):
        for dim, axis in zip(value.type.tensor_type.shape.dim, axes, strict=False):
            if dim.HasField("dim_param"):
                dim.dim_param = names[axis]
    del proto.graph.value_info[:]


def _load_onnx(path: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what it raises says the same
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {INPUT: image.numpy()})[0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters say of their own workings out of the terminal."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# Sides that, halved again and again, stay odd and are no multiples of a window: so whatever pads pads, and no
# two maps have the same size by chance. torch.export keeps a 1 as a constant, so that its example must have
# more than one window of Swin at 1/32; it costs nothing, for only shapes are computed.
_TRACED, _EXPORTED = (131, 157), (449, 513)

ONNX = Format("ONNX", ".onnx", "onnxruntime", _write_onnx, _load_onnx, _EXPORTED, 64)
TORCHSCRIPT = Format("TorchScript", ".pt", "torch.jit", _write_script, _load_script, _TRACED, 64)
PROGRAM = Format("torch.export", ".pt2", "torch.export", _write_program, _load_program, _EXPORTED, 256)
