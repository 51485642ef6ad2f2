"""The transforms of albumentations."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.common import rng_of
from mmseg.utils.errors import UserError, near_matches

_KEYMAP = {"img": "image", "gt_semantic_seg": "mask"}


@PIPELINES.register_module()
class Albu:
    """Run transforms of albumentations (Buslaev et al., Albumentations: Fast and Flexible Image
    Augmentations, 2020) on image and mask.

    Their random choices follow ``results['rng']`` alone, whatever the version of albumentations. New
    pixels of a mask (of a rotation, say) hold what the transform's own ``fill_mask`` says (``mask_value``
    in old versions): by default 0, which is a class; set it to the ignored value.

    Args:
        transforms: Dictionaries whose ``type`` is a class of albumentations or its name; those that
            hold others (``OneOf``) have these as dictionaries in ``transforms``.
        keymap: From entries here to albumentations' names; None means ``img`` to ``image`` and
            ``gt_semantic_seg`` to ``mask``.
        additional_targets: From further such names to the kind they are of ('image' or 'mask').
        update_pad_shape: Set ``pad_shape`` always; without, only where the size changes.
        bgr_to_rgb: Give images of three channels as RGB, and turn them back.
        skip_img_without_anno: Accepted as in 0.25's configs for detection, and without effect.

    Raises:
        UserError: albumentations is not installed, or refuses an argument; a name is unknown.
    """

    def __init__(
        self,
        transforms: Sequence[dict[str, Any]],
        keymap: Mapping[str, str] | None = None,
        additional_targets: Mapping[str, str] | None = None,
        update_pad_shape: bool = False,
        bgr_to_rgb: bool = True,
        skip_img_without_anno: bool = False,
    ) -> None:
        module = _albumentations()
        if not isinstance(transforms, list | tuple):
            raise UserError(f"Albu: `transforms` is a list of dictionaries, not {transforms!r}")
        self.transforms = list(transforms)
        self.keymap = dict(keymap or _KEYMAP)
        if "image" not in self.keymap.values():
            raise UserError(f"Albu: `keymap` must have an entry for 'image', not {self.keymap}")
        targets = dict(additional_targets or {})
        built = [_build(module, transform) for transform in self.transforms]
        self.aug = _called("Compose", module.Compose, {"transforms": built, "additional_targets": targets})
        self.additional_targets = targets
        self.update_pad_shape = update_pad_shape
        self.bgr_to_rgb = bgr_to_rgb

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        given = {name: results[key] for key, name in self.keymap.items() if key in results}
        img = given["image"]
        swap = self.bgr_to_rgb and img.ndim == 3 and img.shape[2] == 3
        # Copies, for some transforms write into what they are given.
        given = {name: np.array(array) for name, array in given.items()}
        if swap:
            given["image"] = cv2.cvtColor(img, cv2.COLOR_BGR2RGB)
        seed = int(rng_of(results).integers(2**32))
        with _seeded(self.aug, seed):
            out = self.aug(**given)
        if swap:
            out["image"] = cv2.cvtColor(out["image"], cv2.COLOR_RGB2BGR)
        for key, name in self.keymap.items():
            if name in given:
                results[key] = out[name]
        shape = out["image"].shape
        if self.update_pad_shape or shape != img.shape:
            results["pad_shape"] = shape
        results["img_shape"] = shape
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(transforms={self.transforms})"


def _build(module: Any, cfg: Any) -> Any:
    """Build one transform; those inside of it first."""
    if not isinstance(cfg, dict) or "type" not in cfg:
        raise UserError(f"Albu: a transform is a dictionary with `type`, not {cfg!r}")
    args = dict(cfg)
    kind = args.pop("type")
    if isinstance(kind, str):
        entry = getattr(module, kind, None)
        if not callable(entry):
            known = [name for name in dir(module) if name[0].isupper()]
            raise UserError(
                f"Albu: albumentations {module.__version__} has no transform `{kind}`"
                f"{near_matches(kind, known)}"
            )
    else:
        entry = kind
    if "transforms" in args:
        args["transforms"] = [_build(module, inner) for inner in args["transforms"]]
    return _called(getattr(entry, "__name__", str(entry)), entry, args)


def _called(name: str, entry: Any, args: dict[str, Any]) -> Any:
    try:
        return entry(**args)
    except (TypeError, ValueError) as error:
        raise UserError(f"Albu: albumentations refuses {name}: {' '.join(str(error).split())}") from None


@contextmanager
def _seeded(aug: Any, seed: int) -> Iterator[None]:
    """Seed what ``aug`` draws from: its own generators, or in old versions the global ones."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    if hasattr(aug, "set_random_state"):
        # Not `set_random_seed`: in some versions that mixes in the number of the loading process.
        aug.set_random_state(np.random.default_rng(seed), random.Random(seed))
    elif hasattr(aug, "set_random_seed"):
        aug.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _albumentations() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer one
    try:
        import albumentations
    except ImportError as error:
        raise UserError(
            f"Albu needs albumentations, which cannot be imported ({error}): pip install albumentations"
        ) from None
    return albumentations
