from __future__ import annotations

import sys
import types
from typing import Any

import albumentations
import numpy as np
import pytest

from mmseg.datasets.pipelines import Albu, albu
from mmseg.utils.errors import UserError


def sample(size: tuple[int, int] = (20, 30), **kwargs: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return {"img": image, "gt_semantic_seg": image[..., 0] // 16, "rng": np.random.default_rng(1), **kwargs}


def test_image_and_mask_follow() -> None:
    given = sample()
    results = Albu([dict(type="HorizontalFlip", p=1.0)])(dict(given))
    assert np.array_equal(results["img"], given["img"][:, ::-1])
    assert np.array_equal(results["gt_semantic_seg"], given["gt_semantic_seg"][:, ::-1])
    assert results["img_shape"] == (20, 30, 3) and "pad_shape" not in results


def test_shapes_follow() -> None:
    crop = [dict(type="RandomCrop", height=8, width=9)]
    results = Albu(crop)(sample(pad_shape=(20, 30, 3)))
    assert results["img_shape"] == results["pad_shape"] == (8, 9, 3)
    assert results["gt_semantic_seg"].shape == (8, 9)
    same_size = Albu([dict(type="HorizontalFlip", p=1.0)], update_pad_shape=True)(sample())
    assert same_size["pad_shape"] == (20, 30, 3)


@pytest.mark.parametrize(("bgr_to_rgb", "raised"), [(True, 2), (False, 0)])
def test_channels_are_given_as_rgb(bgr_to_rgb: bool, raised: int) -> None:
    limits = dict(r_shift_limit=(50, 50), g_shift_limit=(0, 0), b_shift_limit=(0, 0), p=1.0)
    given = sample(img=np.full((4, 4, 3), 100, np.uint8), gt_semantic_seg=np.zeros((4, 4), np.uint8))
    got = Albu([dict(type="RGBShift", **limits)], bgr_to_rgb=bgr_to_rgb)(given)["img"]
    expected = [100, 100, 100]
    expected[raised] = 150
    assert got[0, 0].tolist() == expected


def test_nested_transforms_and_classes() -> None:
    nested = dict(
        type="OneOf",
        p=1.0,
        transforms=[dict(type=albumentations.HorizontalFlip, p=1.0), dict(type="VerticalFlip", p=1.0)],
    )
    given = sample()
    outcomes = {
        Albu([nested])({**given, "rng": np.random.default_rng(seed)})["img"].tobytes() for seed in range(12)
    }
    assert outcomes == {given["img"][:, ::-1].tobytes(), given["img"][::-1].tobytes()}


def test_without_mask_and_with_another_name() -> None:
    given = sample()
    del given["gt_semantic_seg"]
    flip = [dict(type="HorizontalFlip", p=1.0)]
    assert "gt_semantic_seg" not in Albu(flip)(dict(given))
    given["depth"] = given["img"][..., 1].copy()
    results = Albu(flip, keymap={"img": "image", "depth": "mask"}, skip_img_without_anno=True)(dict(given))
    assert np.array_equal(results["depth"], given["depth"][:, ::-1])


@pytest.mark.parametrize("kind", ["random_state", "random_seed", "neither"])
def test_seeds_of_every_version(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Old versions draw from the global generators, later ones from their own."""
    import random

    class Compose:
        def __init__(self, transforms: list[Any], additional_targets: dict[str, str]) -> None:
            self.own: random.Random = random._inst  # type: ignore[attr-defined]
            if kind == "random_state":
                self.set_random_state = lambda generator, python: setattr(self, "own", python)
            elif kind == "random_seed":
                self.set_random_seed = lambda seed: setattr(self, "own", random.Random(seed))

        def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
            return {"image": image + np.uint8(self.own.randrange(250))}

    stub = types.SimpleNamespace(Compose=Compose, __version__="0")
    monkeypatch.setattr(albu, "_albumentations", lambda: stub)
    transform, image = Albu([], bgr_to_rgb=False), np.zeros((1, 1, 3), np.uint8)
    outcomes = []
    for other in (1, 2):
        random.seed(other)
        rng = np.random.default_rng(9)
        outcomes.append([int(transform({"img": image, "rng": rng})["img"][0, 0, 0]) for _ in range(8)])
    assert outcomes[0] == outcomes[1] and len(set(outcomes[0])) > 4


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([dict(type="HorizontalFilp")], "no transform `HorizontalFilp`; did you mean `HorizontalFlip`"),
        ([dict(p=1)], "dictionary with `type`"),
        ("HorizontalFlip", "`transforms` is a list"),
        ([dict(type="RandomCrop", height=-1, width=3)], "albumentations refuses RandomCrop"),
        ([dict(type="OneOf", transforms=[dict(type="Nothing")])], "no transform `Nothing`"),
    ],
)
def test_mistakes(transforms: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Albu(transforms)


def test_keymap_needs_the_image() -> None:
    with pytest.raises(UserError, match="an entry for 'image'"):
        Albu([], keymap={"gt_semantic_seg": "mask"})


def test_without_albumentations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(UserError, match="pip install albumentations"):
        Albu([dict(type="HorizontalFlip")])
