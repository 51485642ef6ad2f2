from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg.datasets.pipelines import LoadAnnotations, LoadImageFromFile
from mmseg.utils.errors import UserError
from tests.helpers_data import write_image, write_palette_mask


@pytest.fixture
def picture(tmp_path: Path) -> np.ndarray:
    array = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", array)
    return array


def load_image(tmp_path: Path, name: str = "a.png", **kwargs: Any) -> dict[str, Any]:
    return LoadImageFromFile(**kwargs)({"img_prefix": str(tmp_path), "img_info": {"filename": name}})


def load_mask(path: Path, reduce_zero_label: bool = False, **results: Any) -> np.ndarray:
    load = LoadAnnotations(reduce_zero_label=reduce_zero_label)
    results = {"seg_prefix": str(path.parent), "ann_info": {"seg_map": path.name}, **results}
    return load(results)["gt_semantic_seg"]


class TestImage:
    def test_keys(self, tmp_path: Path, picture: np.ndarray) -> None:
        results = load_image(tmp_path)
        assert np.array_equal(results["img"], picture) and results["img"].dtype == np.uint8
        assert results["filename"] == str(tmp_path / "a.png") and results["ori_filename"] == "a.png"
        assert results["img_shape"] == results["ori_shape"] == results["pad_shape"] == (10, 14, 3)
        assert results["scale_factor"] == 1.0
        norm = results["img_norm_cfg"]
        assert norm["mean"].tolist() == [0, 0, 0] and norm["std"].tolist() == [1, 1, 1] and not norm["to_rgb"]

    def test_without_prefix(self, tmp_path: Path, picture: np.ndarray) -> None:
        results = LoadImageFromFile()({"img_prefix": None, "img_info": {"filename": str(tmp_path / "a.png")}})
        assert np.array_equal(results["img"], picture)

    def test_pillow_gives_the_same(self, tmp_path: Path, picture: np.ndarray) -> None:
        assert np.array_equal(load_image(tmp_path, imdecode_backend="pillow")["img"], picture)
        grey = load_image(tmp_path, imdecode_backend="pillow", color_type="grayscale")["img"]
        assert np.abs(grey.astype(int) - load_image(tmp_path, color_type="grayscale")["img"]).max() <= 1

    @pytest.mark.parametrize("backend", ["cv2", "pillow"])
    def test_unchanged_keeps_four_channels(self, tmp_path: Path, backend: str) -> None:
        array = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)
        write_image(tmp_path / "b.png", array)
        results = load_image(tmp_path, "b.png", color_type="unchanged", imdecode_backend=backend)
        assert np.array_equal(results["img"], array) and len(results["img_norm_cfg"]["mean"]) == 4

    def test_grey_and_float(self, tmp_path: Path, picture: np.ndarray) -> None:
        results = load_image(tmp_path, color_type="grayscale", to_float32=True)
        assert results["img"].shape == (10, 14) and results["img"].dtype == np.float32
        assert np.abs(results["img"] - cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)).max() <= 1

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="b.png does not exist.*img_suffix"):
            load_image(tmp_path, "b.png")

    @pytest.mark.parametrize("backend", ["cv2", "pillow"])
    @pytest.mark.parametrize("content", [b"", b"no image at all"])
    def test_damaged(self, tmp_path: Path, backend: str, content: bytes) -> None:
        (tmp_path / "b.png").write_bytes(content)
        with pytest.raises(UserError, match=rf"cannot decode.*b.png \({len(content)} bytes\)"):
            load_image(tmp_path, "b.png", imdecode_backend=backend)

    def test_arguments(self) -> None:
        with pytest.raises(UserError, match="did you mean `color`"):
            LoadImageFromFile(color_type="colour")
        with pytest.raises(UserError, match="imdecode_backend"):
            LoadImageFromFile(imdecode_backend="jpeg")
        with pytest.raises(UserError, match="disk"):
            LoadImageFromFile(file_client_args=dict(backend="petrel"))
        assert LoadImageFromFile(file_client_args=dict(backend="disk")).color_type == "color"

    def test_repr(self) -> None:
        assert repr(LoadImageFromFile()) == (
            "LoadImageFromFile(to_float32=False,color_type='color',imdecode_backend='cv2')"
        )


class TestMask:
    mask = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)

    def test_palette_gives_indices(self, tmp_path: Path) -> None:
        path = write_palette_mask(tmp_path / "m.png", self.mask)
        assert np.array_equal(load_mask(path, num_classes=3), self.mask)

    def test_keys(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", self.mask)
        results = LoadAnnotations()(
            {"seg_prefix": None, "ann_info": {"seg_map": str(path)}, "seg_fields": ["x"]}
        )
        assert results["seg_fields"] == ["x", "gt_semantic_seg"]
        assert results["gt_semantic_seg"].dtype == np.uint8

    def test_one_bit_mask(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[True, False]])).save(tmp_path / "m.png")
        assert load_mask(tmp_path / "m.png", num_classes=2).tolist() == [[1, 0]]

    def test_sixteen_bit_mask(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", self.mask.astype(np.uint16))
        got = load_mask(path, num_classes=3)
        assert got.dtype == np.uint8 and np.array_equal(got, self.mask)
        path = write_image(tmp_path / "n.png", np.full((2, 3), 1000, np.uint16))
        with pytest.raises(UserError, match=r"n.png holds the value 1000 \(6 pixels\)"):
            load_mask(path, num_classes=3)

    def test_reduce_zero_label(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", np.array([[0, 1, 2, 255]], np.uint8))
        assert load_mask(path, reduce_zero_label=True, num_classes=2).tolist() == [[255, 0, 1, 255]]

    def test_label_map(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", np.array([[0, 1, 2, 255]], np.uint8))
        label_map = {0: -1, 1: 1, 2: 0}
        assert load_mask(path, num_classes=2, label_map=label_map).tolist() == [[255, 1, 0, 255]]
        path = write_image(tmp_path / "n.png", np.array([[0, 1, 2, 3]], np.uint8))
        with pytest.raises(UserError, match=r"value 3 \(1 pixels\), but with 3 classes"):
            load_mask(path, num_classes=2, label_map=label_map)
        got = load_mask(path, reduce_zero_label=True, num_classes=2, label_map=label_map)
        assert got.tolist() == [[255, 255, 1, 0]]  # classes count from 1 before they are mapped

    def test_negative_ignore_index(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", np.array([[0, 1]], np.uint8))
        assert load_mask(path, reduce_zero_label=True, num_classes=1, ignore_index=-100).tolist() == [
            [-100, 0]
        ]

    def test_unchecked_without_num_classes(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", np.array([[7, 200]], np.uint8))
        assert load_mask(path).tolist() == [[7, 200]]

    @pytest.mark.parametrize("value", [19, 200, 254])
    def test_unknown_value(self, tmp_path: Path, value: int) -> None:
        mask = np.zeros((4, 5), np.uint8)
        mask[1:3, 1:3], mask[0, 0] = value, 255
        path = write_image(tmp_path / "m.png", mask)
        with pytest.raises(
            UserError, match=rf"m.png holds the value {value} \(4 pixels\).*19 classes.*0 to 18, or 255"
        ):
            load_mask(path, num_classes=19)

    def test_label_ids_are_recognised(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", np.array([[7, 11, 26, 33]], np.uint8))
        with pytest.raises(UserError, match="label ids .* convert the masks to train ids"):
            load_mask(path, num_classes=19)

    def test_classes_from_one(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", np.array([[1, 2, 3]], np.uint8))
        with pytest.raises(UserError, match="value 3 .*reduce_zero_label=True"):
            load_mask(path, num_classes=3)
        with pytest.raises(UserError, match="value 3 .*1 to 2"):
            load_mask(path, reduce_zero_label=True, num_classes=2)

    def test_ignored_value_may_be_any(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", np.array([[0, 11]], np.uint8))
        assert load_mask(path, num_classes=11, ignore_index=11).tolist() == [[0, 11]]
        path = write_image(tmp_path / "n.png", np.array([[0, 255]], np.uint8))
        with pytest.raises(UserError, match="value 255 .*or 11 for ignored"):
            load_mask(path, num_classes=11, ignore_index=11)

    def test_colour_mask(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", np.dstack([self.mask, self.mask, self.mask * 2]))
        with pytest.raises(UserError, match="m.png has 3 channels.*convert each colour"):
            load_mask(path, num_classes=3)
        path = write_image(tmp_path / "n.png", np.dstack([self.mask] * 3))
        with pytest.raises(UserError, match="channels are equal"):
            load_mask(path, num_classes=3)
        path = write_palette_mask(tmp_path / "p.png", self.mask)
        with pytest.raises(UserError, match="imdecode_backend='pillow'"):
            LoadAnnotations(imdecode_backend="cv2")({"ann_info": {"seg_map": str(path)}})

    def test_size_differs(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "m.png", self.mask)
        with pytest.raises(UserError, match=r"m.png is 3x2 .*its image a.png is 5x4"):
            load_mask(path, img=np.zeros((4, 5, 3), np.uint8), filename="a.png")

    def test_missing_and_damaged(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="m.png does not exist.*seg_map_suffix"):
            load_mask(tmp_path / "m.png")
        (tmp_path / "m.png").write_bytes(b"no mask")
        with pytest.raises(UserError, match="cannot read the mask .*m.png"):
            load_mask(tmp_path / "m.png")
        cut = write_image(
            tmp_path / "n.png", np.random.default_rng(0).integers(0, 9, (50, 50), dtype=np.uint8)
        )
        cut.write_bytes(cut.read_bytes()[:200])
        with pytest.raises(UserError, match="cannot read the mask .*n.png"):
            load_mask(cut)

    def test_float_mask(self, tmp_path: Path) -> None:
        Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "m.tiff")
        with pytest.raises(UserError, match="whole numbers"):
            load_mask(tmp_path / "m.tiff")

    def test_repr(self) -> None:
        assert repr(LoadAnnotations()) == "LoadAnnotations(reduce_zero_label=False,imdecode_backend='pillow')"


class TestBinaryMask:
    """0/255 masks of two classes would pass as 'background and ignored'."""

    def test_refused(self, tmp_path: Path) -> None:
        paths = [write_image(tmp_path / f"{i}.png", np.array([[0, 255, 255]], np.uint8)) for i in range(2)]
        with pytest.raises(UserError, match=r"0.png holds only 0 and 255 \(2 pixels\).*mask // 255"):
            load_mask(paths[0], num_classes=2, peer_masks=lambda: map(str, paths))

    def test_allowed_where_another_mask_has_the_class(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "0.png", np.array([[0, 255, 255]], np.uint8))
        other = write_image(tmp_path / "1.png", np.array([[0, 1, 255]], np.uint8))
        got = load_mask(path, num_classes=2, peer_masks=lambda: [str(tmp_path / "none.png"), str(other)])
        assert got.tolist() == [[0, 255, 255]]

    def test_with_another_ignored_value(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "0.png", np.array([[0, 255]], np.uint8))
        with pytest.raises(UserError, match="value 255 .*binary mask.*mask // 255"):
            load_mask(path, num_classes=2, ignore_index=254)

    def test_more_classes(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "0.png", np.array([[0, 255]], np.uint8))
        got = load_mask(path, num_classes=3, peer_masks=lambda: [])
        assert got.tolist() == [[0, 255]]
