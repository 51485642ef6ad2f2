"""What a config's model costs: multiply-adds and parameters, counted without weights and without a GPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmseg.config import Config, check_config
from mmseg.config.task import apply_task
from mmseg.core.cost.tables import params_of
from mmseg.models import build_segmentor
from mmseg.models.layers.norm import revert_sync_batchnorm
from mmseg.utils.errors import UserError

if TYPE_CHECKING:
    from mmseg.core.cost.fvcore_count import CostAnalysis

META = torch.device("meta")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Cost:
    """The cost of one image.

    Attributes:
        model: The model, on ``device``.
        device: ``meta`` (shapes only), or ``cpu`` where the model does not run on meta.
        macs: Multiply-adds by fvcore's rules.
        params: Parameters, those of auxiliary heads too.
        analysis: fvcore's analysis: ``by_module()``, ``by_operator()``, ``unsupported_ops()``.
    """

    model: nn.Module
    device: torch.device
    macs: int
    params: int
    analysis: CostAnalysis


def count_cost(model_cfg: Mapping[str, Any], hw: tuple[int, int], exact: bool = True) -> Cost:
    """Count one forward pass of a model, from an image (1, C, h, w) to logits of its size.

    The model is built and run on the meta device, where nothing is computed; where a part needs real
    numbers, on the CPU.

    Args:
        model_cfg: The ``model`` section of a config.
        hw: Height and width of the image.
        exact: Count MMSegmentation 0.25's sequence of operators instead of the faster one that runs.

    Raises:
        UserError: the model cannot process such an image, or fvcore is missing.
    """
    cost_analysis = cost_analysis_class()
    try:
        return _count(cost_analysis, model_cfg, hw, exact, META)
    except UserError:
        raise
    except Exception:  # a part that looks at numbers, or an operator without a meta kernel
        pass
    try:
        return _count(cost_analysis, model_cfg, hw, exact, CPU)
    except UserError:
        raise
    except Exception as error:
        raise cannot_run(str(model_cfg.get("type")), hw, error) from error


def _count(
    cost_analysis: type[CostAnalysis],
    model_cfg: Mapping[str, Any],
    hw: tuple[int, int],
    exact: bool,
    device: torch.device,
) -> Cost:
    model = build_for_cost(model_cfg, device, exact)
    image = image_for(model, hw, device)
    analysis = cost_analysis(model, lambda: model.forward_dummy(image))
    try:
        macs = int(analysis.total())
    except UserError as error:  # its advice is for training; here the size is an argument
        raise UserError(f"{error}; for this count choose another --shape") from error
    return Cost(model, device, macs, params_of([model]), analysis)


def cost_analysis_class() -> type[CostAnalysis]:
    """The counter; fvcore is imported only when something is counted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # fvcore uses torch.jit.script
            from mmseg.core.cost.fvcore_count import CostAnalysis
    except ImportError as error:
        raise missing_package(error, "fvcore") from None
    return CostAnalysis


def missing_package(error: ImportError, package: str) -> UserError:
    """The mistake of not having installed ``package``."""
    return UserError(f"{package} cannot be imported ({error}); install it with: pip install {package}")


def cannot_run(name: str, hw: tuple[int, int], error: Exception) -> UserError:
    """The mistake of a shape that the model called ``name`` does not take."""
    return UserError(
        f"{name} cannot process an image of {hw[0]}x{hw[1]}: {first_line(error)}; choose another --shape"
    )


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def build_for_cost(model_cfg: Mapping[str, Any], device: torch.device, exact: bool) -> nn.Module:
    """The model in evaluation mode on ``device``, with the weights that its layers were made with."""
    settings = {**model_cfg, "pretrained": None}
    try:
        with device:
            model = build_segmentor(settings)
    except UserError:
        raise
    except Exception:  # a constructor that computes with its own tensors
        if device == CPU:
            raise
        model = build_segmentor(settings).to(device)
    if hasattr(model, "exact"):
        model.exact = exact
    return revert_sync_batchnorm(model).eval()


def image_for(model: nn.Module, hw: tuple[int, int], device: torch.device, batch: int = 1) -> torch.Tensor:
    """Images (batch, C, h, w) of zeros; C is what the model's first convolution takes."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    channels = 3 if first is None else first.in_channels
    return torch.zeros(batch, channels, *hw, device=device)


def torch_flops(run: Callable[[], Any]) -> float | str:
    """What ``torch.utils.flop_counter`` counts of ``run()``; why it cannot, where it cannot."""
    try:
        from torch.utils.flop_counter import FlopCounterMode

        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
        return float(counter.get_total_flops())
    except Exception as error:  # a cross-check must not cost the result
        return first_line(error)


def parse_shape(values: Sequence[str]) -> tuple[int, int]:
    """``--shape H W`` or ``--shape SIDE`` as (h, w).

    Raises:
        UserError: it is something else.
    """
    if len(values) in (1, 2) and all(v.isdecimal() and int(v) > 0 for v in values):
        return int(values[0]), int(values[-1])
    raise UserError(f"--shape is H W or one number for both, in pixels, not {' '.join(values)}")


def model_section(path: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The ``model`` of a config file, after ``--cfg-options``, its keys checked.

    Raises:
        UserError: what is wrong, naming the file and the key.
    """
    cfg = Config.fromfile(path)
    if options:
        cfg.merge_from_dict(dict(options))
    check_config(cfg)
    apply_task(cfg)
    if "model" not in cfg:
        raise UserError(f"{path}: the config has no `model`")
    section = dict(cfg.model)
    for name in ("train_cfg", "test_cfg"):  # old files keep them beside the model
        if section.get(name) is None and cfg.get(name) is not None:
            section[name] = cfg[name]
    return section
