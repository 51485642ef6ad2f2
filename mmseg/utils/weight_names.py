"""Names of published weights: ``open-mmlab://``, ``torchvision://`` and ``timm://``."""

from __future__ import annotations

from typing import Any

from mmseg.utils.errors import UserError, near_matches

_THIRD_PARTY = "https://download.openmmlab.com/pretrain/third_party/"
# Of the names that mmcv 1.x knows, those of backbones for segmentation; after `-` stands the file's hash.
OPEN_MMLAB = {
    name: f"{_THIRD_PARTY}{file}.pth"
    for name, file in {
        "resnet18_v1c": "resnet18_v1c-b5776b93",
        "resnet50_v1c": "resnet50_v1c-2cccc1ad",
        "resnet101_v1c": "resnet101_v1c-e67eebb6",
        "detectron/resnet50_caffe": "resnet50_caffe-788b5fa3",
        "detectron/resnet101_caffe": "resnet101_caffe-3ad79236",
        "detectron2/resnet50_caffe": "resnet50_msra-5891d200",
        "detectron2/resnet101_caffe": "resnet101_msra-6cc46731",
        "resnext50_32x4d": "resnext50-32x4d-0ab1a123",
        "resnext101_32x4d": "resnext101_32x4d-a5af3160",
        "resnext101_64x4d": "resnext101_64x4d-ee2c6f71",
        "resnest50": "resnest50_d2-7497a55b",
        "resnest101": "resnest101_d2-f3b931b2",
        "resnest200": "resnest200_d2-ca88e41f",
        "msra/hrnetv2_w18_small": "hrnetv2_w18_small-b5a04e21",
        "msra/hrnetv2_w18": "hrnetv2_w18-00eb2006",
        "msra/hrnetv2_w32": "hrnetv2_w32-dc9eeb4f",
        "msra/hrnetv2_w40": "hrnetv2_w40-ed0b031c",
        "msra/hrnetv2_w48": "hrnetv2_w48-d2186c55",
        "contrib/mobilenet_v3_large": "mobilenet_v3_large-bc2c3fd3",
    }.items()
}


def open_mmlab_url(name: str) -> str:
    """Return the address of ``open-mmlab://NAME``.

    Raises:
        UserError: an unknown name.
    """
    if name not in OPEN_MMLAB:
        raise UserError(
            f"open-mmlab://{name} is not known{near_matches(name, OPEN_MMLAB)} (known:"
            f" {', '.join(OPEN_MMLAB)}); for other weights give their address or their path"
        )
    return OPEN_MMLAB[name]


def torchvision_url(name: str) -> str:
    """Return the address of ``torchvision://NAME``, or of ``torchvision://NAME.WEIGHTS``.

    A bare name means the weights that it has always meant (``IMAGENET1K_V1``), not torchvision's newest.

    Args:
        name: ``resnet50``, ``resnet50.imagenet1k_v2``, ``resnet50.default``, ...

    Raises:
        UserError: an unknown name.
    """
    from torchvision.models import get_model_weights, list_models

    model, _, which = name.lower().partition(".")
    try:
        weights = get_model_weights(model)
    except ValueError:
        raise UserError(
            f"torchvision://{name}: torchvision has no model `{model}`{near_matches(model, list_models())}"
        ) from None
    by_name = {entry.name.lower(): entry for entry in weights}
    if not by_name:
        raise UserError(f"torchvision://{name}: torchvision has no weights of `{model}`")
    if which == "default":
        return weights.DEFAULT.url
    if not which:
        return by_name.get("imagenet1k_v1", next(iter(by_name.values()))).url
    if which not in by_name:
        raise UserError(
            f"torchvision://{name}: `{model}` has the weights {', '.join(by_name)}, and no `{which}`"
        )
    return by_name[which].url


def timm_source(name: str) -> str | tuple[str, str | None]:
    """Return where the weights of ``timm://NAME`` stand.

    Args:
        name: ``resnet50``, or with the training that is meant ``resnet50.a1_in1k``.

    Returns:
        The repository on the Hugging Face hub and the file in it (None: its usual name); or an address.

    Raises:
        UserError: an unknown name, or weights that are no state dict.
    """
    import timm

    architecture = name.partition(".")[0]
    try:
        entry: Any = timm.get_pretrained_cfg(name)
    except RuntimeError:
        known = timm.list_pretrained(f"{architecture}.*")
        raise UserError(f"timm://{name}: timm has {', '.join(known) or 'no such weights'}") from None
    if entry is None:
        close = near_matches(architecture, timm.list_models())
        raise UserError(f"timm://{name}: timm has no model `{architecture}`{close}")
    if entry.custom_load:
        raise UserError(
            f"timm://{name} are weights in a format of their own; use TIMMBackbone(pretrained=True)"
        )
    if entry.hf_hub_id:
        return entry.hf_hub_id, entry.hf_hub_filename
    if entry.url:
        return entry.url
    raise UserError(f"timm://{name}: timm has no weights of `{architecture}`")
