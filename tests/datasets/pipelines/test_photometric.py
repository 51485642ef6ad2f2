from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from mmseg.datasets.pipelines import CLAHE, AdjustGamma, Normalize, PhotoMetricDistortion, Rerange, RGB2Gray
from mmseg.datasets.pipelines.photometric import Distortion
from mmseg.utils.errors import UserError
from tests.helpers_data import NORM


def image(h: int = 24, w: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


class TestNormalize:
    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
    def test_formula(self, dtype: Any) -> None:
        img = image().astype(dtype)
        results = Normalize(**NORM)({"img": img})
        expected = (img[..., ::-1].astype(np.float64) - NORM["mean"]) / NORM["std"]
        assert results["img"].dtype == np.float32
        assert np.abs(results["img"] - expected).max() < 1e-5
        assert results["img_norm_cfg"]["to_rgb"] is True
        assert results["img_norm_cfg"]["mean"].tolist() == np.float32(NORM["mean"]).tolist()

    def test_without_swap(self) -> None:
        img = image()
        got = Normalize(mean=[1, 2, 3], std=[4, 5, 6], to_rgb=False)({"img": img})["img"]
        assert np.abs(got - (img - [1.0, 2, 3]) / [4, 5, 6]).max() < 1e-5

    @pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1)])
    def test_grey(self, shape: tuple[int, ...]) -> None:
        img = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        got = Normalize(mean=[100], std=[50])({"img": img})["img"]
        assert got.shape == shape and np.abs(got - (img - 100.0) / 50).max() < 1e-5

    def test_five_channels(self) -> None:
        img = np.random.default_rng(0).integers(0, 256, (4, 5, 5), dtype=np.uint8)
        got = Normalize(mean=[1, 2, 3, 4, 5], std=[1] * 5, to_rgb=False)({"img": img})["img"]
        assert np.array_equal(got, img - np.float32([1, 2, 3, 4, 5]))

    def test_refuses(self) -> None:
        with pytest.raises(UserError, match="each channel"):
            Normalize(mean=[1, 2], std=[1, 2, 3])
        with pytest.raises(UserError, match="above 0"):
            Normalize(mean=[1, 2, 3], std=[1, 0, 3])
        with pytest.raises(UserError, match="3 means, but a.png has 1 channel"):
            Normalize(**NORM)({"img": np.zeros((4, 4), np.uint8), "filename": "a.png"})


def distort_step_by_step(img: np.ndarray, draws: Distortion) -> np.ndarray:
    """The definition: every step on float32 pixels, cut and truncated to uint8."""

    def convert(pixels: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
        return np.clip(pixels.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)

    if draws.brightness is not None:
        img = convert(img, beta=draws.brightness)
    if draws.contrast_first and draws.contrast is not None:
        img = convert(img, alpha=draws.contrast)
    if draws.saturation is not None:
        hsv = cv2.cvtColor(img, cv2.COLOR_BGR2HSV)
        hsv[:, :, 1] = convert(hsv[:, :, 1], alpha=draws.saturation)
        img = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if draws.hue is not None:
        hsv = cv2.cvtColor(img, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + draws.hue) % 180
        img = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if not draws.contrast_first and draws.contrast is not None:
        img = convert(img, alpha=draws.contrast)
    return img


class TestPhotoMetricDistortion:
    def test_equals_the_definition(self) -> None:
        distort = PhotoMetricDistortion()
        differences = []
        for seed in range(100):
            img, draws = image(seed=seed), distort.draw(np.random.default_rng(seed))
            before = img.copy()
            got = distort.apply(img, draws)
            assert got.dtype == np.uint8 and np.array_equal(img, before)
            differences.append(np.abs(got.astype(int) - distort_step_by_step(img, draws)).max())
        assert max(differences) == 0

    def test_draws(self) -> None:
        rng = np.random.default_rng(0)
        draws = [PhotoMetricDistortion().draw(rng) for _ in range(4000)]
        for name, low, high in (
            ("brightness", -32, 32),
            ("contrast", 0.5, 1.5),
            ("saturation", 0.5, 1.5),
            ("hue", -18, 17),
        ):
            values = [getattr(d, name) for d in draws if getattr(d, name) is not None]
            assert len(values) / len(draws) == pytest.approx(0.5, abs=0.04)
            assert low <= min(values) < low + 0.05 * (high - low)
            assert high - 0.05 * (high - low) < max(values) <= high
        assert np.mean([d.contrast_first for d in draws]) == pytest.approx(0.5, abs=0.04)

    def test_nothing_to_change(self) -> None:
        distort = PhotoMetricDistortion(
            brightness_delta=0, contrast_range=(1, 1), saturation_range=(1, 1), hue_delta=0
        )
        grey = np.full((4, 4, 3), 77, np.uint8)
        for seed in range(20):
            assert np.array_equal(distort({"img": grey, "rng": np.random.default_rng(seed)})["img"], grey)

    def test_float_image_becomes_uint8(self) -> None:
        results = PhotoMetricDistortion()(
            {"img": image().astype(np.float32), "rng": np.random.default_rng(3)}
        )
        assert results["img"].dtype == np.uint8

    def test_refuses(self) -> None:
        with pytest.raises(UserError, match="brightness_delta"):
            PhotoMetricDistortion(brightness_delta=-1)
        with pytest.raises(UserError, match="contrast_range"):
            PhotoMetricDistortion(contrast_range=(1.5, 0.5))
        with pytest.raises(UserError, match="three channels"):
            PhotoMetricDistortion()({"img": np.zeros((4, 4), np.uint8)})

    def test_repr(self) -> None:
        assert repr(PhotoMetricDistortion()) == (
            "PhotoMetricDistortion(brightness_delta=32, contrast_range=(0.5, 1.5), "
            "saturation_range=(0.5, 1.5), hue_delta=18)"
        )


def test_rerange() -> None:
    got = Rerange(min_value=10, max_value=20)({"img": image()})["img"]
    assert got.dtype == np.float32 and got.min() == 10 and got.max() == pytest.approx(20)
    assert (Rerange()({"img": np.full((2, 2, 3), 9, np.uint8)})["img"] == 0).all()
    with pytest.raises(UserError, match="below"):
        Rerange(min_value=3, max_value=3)


def test_clahe_equalises_each_channel() -> None:
    img = image() // 4
    got = CLAHE(tile_grid_size=(2, 2))({"img": img})["img"]
    one = cv2.createCLAHE(40.0, (2, 2)).apply(np.ascontiguousarray(img[..., 1]))
    assert np.array_equal(got[..., 1], one)
    assert CLAHE()({"img": img[..., 0]})["img"].shape == img.shape[:2]
    with pytest.raises(UserError, match="clip_limit"):
        CLAHE(clip_limit=0)


def test_rgb2gray() -> None:
    img = image()
    grey = img @ np.array([0.299, 0.587, 0.114])
    got = RGB2Gray(out_channels=1)({"img": img})
    assert got["img"].shape == got["img_shape"] == (24, 30, 1)
    assert np.abs(got["img"][..., 0] - grey).max() < 1e-3
    with pytest.raises(UserError, match="3 weights"):
        RGB2Gray()({"img": img[..., 0]})
    with pytest.raises(UserError, match="out_channels"):
        RGB2Gray(out_channels=0)


def test_gamma() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    got = AdjustGamma(gamma=2.0)({"img": ramp})["img"]
    assert got[0, 0] == 0 and got[-1, -1] == 255
    assert np.abs(got - 255 * np.sqrt(ramp / 255)).max() <= 1
    assert np.array_equal(AdjustGamma(gamma=1)({"img": ramp})["img"], ramp)
    with pytest.raises(UserError, match="gamma"):
        AdjustGamma(gamma=-1)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (Rerange(), "Rerange(min_value=0, max_value=255)"),
        (CLAHE(), "CLAHE(clip_limit=40.0, tile_grid_size=(8, 8))"),
        (RGB2Gray(), "RGB2Gray(out_channels=None, weights=(0.299, 0.587, 0.114))"),
        (AdjustGamma(gamma=1.2), "AdjustGamma(gamma=1.2)"),
        (Normalize(mean=[1.0], std=[2.0]), "Normalize(mean=[1.], std=[2.], to_rgb=True)"),
    ],
)
def test_repr(transform: Any, expected: str) -> None:
    assert repr(transform) == expected
