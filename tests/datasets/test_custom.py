from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmseg.core.evaluation import get_classes, get_palette
from mmseg.datasets import CamVidDataset, CityscapesDataset, CustomDataset, KittiSegDataset, build_dataset
from mmseg.utils.errors import UserError
from tests.helpers_data import kitti_config, same, test_pipeline, train_pipeline, write_image, write_pairs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_pairs(tmp_path, count=4)


class TestListing:
    def test_sorted_with_subfolders(self, tmp_path: Path) -> None:
        for name in ("b/2.png", "a.png", "b/1.png", ".hidden.png", "c.txt", "b/x.jpg"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        data = CustomDataset(
            [],
            str(tmp_path),
            img_suffix=".png",
            ann_dir="m",
            seg_map_suffix="_l.png",
            test_mode=True,
            classes=["x"],
        )
        assert data.img_infos == [
            {"filename": "a.png", "ann": {"seg_map": "a_l.png"}},
            {"filename": "b/1.png", "ann": {"seg_map": "b/1_l.png"}},
            {"filename": "b/2.png", "ann": {"seg_map": "b/2_l.png"}},
        ]
        assert len(data) == 3

    def test_without_masks(self, root: Path) -> None:
        data = CustomDataset(train_pipeline(), str(root / "img_dir"), img_suffix=".png")
        assert data.img_infos[0] == {"filename": "000000_10.png"}
        with pytest.raises(UserError, match="CustomDataset has no masks.*ann_dir"):
            data[0]

    def test_suffix_is_replaced_at_the_end_only(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png.png", np.zeros((2, 2, 3), np.uint8))
        data = CustomDataset(
            [],
            str(tmp_path),
            img_suffix=".png",
            ann_dir="m",
            seg_map_suffix="_m.png",
            test_mode=True,
            classes=["x"],
        )
        assert data.img_infos[0]["ann"] == {"seg_map": "a.png_m.png"}

    def test_split(self, root: Path) -> None:
        (root / "some.txt").write_text("000002\n\n000000\n")
        data = build_dataset(kitti_config(root, split="some.txt"))
        assert [info["filename"] for info in data.img_infos] == ["000002_10.png", "000000_10.png"]
        assert data.img_infos[0]["ann"] == {"seg_map": "000002_10.png"}

    def test_absolute_paths_ignore_the_root(self, root: Path) -> None:
        cfg = kitti_config(root, img_dir=str(root / "img_dir"), data_root="/nowhere", ann_dir=None)
        assert len(build_dataset(cfg)) == 4


class TestMistakes:
    @pytest.mark.parametrize("argument", ["img_dir", "ann_dir"])
    def test_missing_folder(self, root: Path, argument: str) -> None:
        with pytest.raises(UserError, match=rf"`{argument}` {root}/none does not exist.*`{argument}`"):
            build_dataset(kitti_config(root, **{argument: "none"}))
        (root / "none").write_text("")
        with pytest.raises(UserError, match="is a file"):
            build_dataset(kitti_config(root, **{argument: "none"}))

    def test_empty_folder(self, root: Path) -> None:
        (root / "none").mkdir()
        with pytest.raises(UserError, match="'_10.png' in `img_dir` .*none.*empty.*img_suffix"):
            build_dataset(kitti_config(root, img_dir="none"))
        with pytest.raises(UserError, match="such as 00000._10.png.*img_suffix"):
            build_dataset(kitti_config(root, img_suffix=".jpg"))

    def test_missing_mask(self, root: Path) -> None:
        (root / "ann_dir" / "000002_10.png").unlink()
        with pytest.raises(
            UserError, match=rf"1 image of 4 has no mask: {root}/ann_dir/000002_10.png does not exist"
        ):
            build_dataset(kitti_config(root))
        data = build_dataset(kitti_config(root, test_pipeline()), dict(test_mode=True))
        assert data.get_sample(2)["img"][0].shape == (3, 24, 32)  # a prediction needs no mask
        with pytest.raises(UserError, match="000002_10.png does not exist"):
            data.get_gt_seg_map_by_idx(2)

    def test_all_masks_missing(self, root: Path) -> None:
        with pytest.raises(UserError, match="4 images of 4 have no mask.*seg_map_suffix"):
            build_dataset(kitti_config(root, seg_map_suffix=".png"))

    def test_split(self, root: Path) -> None:
        with pytest.raises(UserError, match="cannot read the `split` file .*none.txt: No such file"):
            build_dataset(kitti_config(root, split="none.txt"))
        split = root / "some.txt"
        split.write_text("000000\n000009\n000008\n")
        with pytest.raises(UserError, match=r"names 2 images that do not exist, such as .*000009_10.png"):
            build_dataset(kitti_config(root, split="some.txt"))
        split.write_text("000000_10.png\n")
        with pytest.raises(UserError, match="1 image that does not exist.*without the suffix '_10.png'"):
            build_dataset(kitti_config(root, split="some.txt"))
        split.write_text("\n")
        with pytest.raises(UserError, match="names no image"):
            build_dataset(kitti_config(root, split="some.txt"))

    def test_classes(self, root: Path) -> None:
        with pytest.raises(
            UserError, match="`rod`, which KittiSegDataset does not have; did you mean `road`"
        ):
            build_dataset(kitti_config(root, classes=["rod"]))
        with pytest.raises(UserError, match="`road` twice"):
            build_dataset(kitti_config(root, classes=["road", "car", "road"]))
        with pytest.raises(UserError, match="cannot read the class names in .*none.txt"):
            build_dataset(kitti_config(root, classes="none.txt"))
        with pytest.raises(UserError, match="list of names"):
            build_dataset(kitti_config(root, classes=[]))
        with pytest.raises(UserError, match="1 colours for 2 classes"):
            build_dataset(kitti_config(root, classes=["road", "car"], palette=[[1, 2, 3]]))

    def test_testing_needs_classes(self, root: Path) -> None:
        with pytest.raises(UserError, match="set `classes`"):
            CustomDataset(test_pipeline(), str(root / "img_dir"), img_suffix=".png", test_mode=True)

    def test_unknown_argument(self, root: Path) -> None:
        with pytest.raises(
            UserError, match="KittiSegDataset takes no argument `ann_dri`; did you mean `ann_dir`"
        ):
            build_dataset(kitti_config(root, ann_dri="x"))
        with pytest.raises(UserError, match="did you mean `KittiSegDataset`"):
            build_dataset(kitti_config(root, type="KitiSegDataset"))


class TestClasses:
    def test_own(self, root: Path) -> None:
        data = build_dataset(kitti_config(root))
        assert list(data.CLASSES) == get_classes("cityscapes")
        assert get_palette("cityscapes") == data.PALETTE
        assert data.label_map is None

    def test_subset_and_order(self, root: Path) -> None:
        data = build_dataset(kitti_config(root, classes=["car", "road"]))
        assert list(data.CLASSES) == ["car", "road"]
        colours = get_palette("cityscapes")
        assert [colours[13], colours[0]] == data.PALETTE
        assert data.label_map == {i: {13: 0, 0: 1}.get(i, -1) for i in range(19)}
        raw = build_dataset(kitti_config(root)).get_gt_seg_map_by_idx(0)
        expected = np.full_like(raw, 255)
        expected[raw == 13], expected[raw == 0] = 0, 1
        assert np.array_equal(data.get_gt_seg_map_by_idx(0), expected)
        assert set(np.unique(data.get_sample(0)["gt_semantic_seg"])) <= {0, 1, 255}
        assert build_dataset(kitti_config(root)).label_map is None  # the class itself did not change

    def test_file(self, root: Path) -> None:
        (root / "classes.txt").write_text("car\nroad\n")
        data = build_dataset(kitti_config(root, classes=str(root / "classes.txt")))
        assert data.CLASSES == ["car", "road"]

    def test_new_ones(self, root: Path) -> None:
        data = CustomDataset([], str(root / "img_dir"), img_suffix=".png", classes=("a", "b", "c"))
        again = CustomDataset([], str(root / "img_dir"), img_suffix=".png", classes=("a", "b", "c"))
        assert data.CLASSES == ("a", "b", "c") and data.label_map is None
        assert np.shape(data.PALETTE) == (3, 3) and data.PALETTE == again.PALETTE

    def test_given_palette(self, root: Path) -> None:
        data = build_dataset(kitti_config(root, classes=["car"], palette=[[9, 8, 7]]))
        assert data.PALETTE == [[9, 8, 7]]

    def test_suffixes(self, root: Path, tmp_path: Path) -> None:
        for cls, suffixes, classes in (
            (KittiSegDataset, ("_10.png", "_10.png"), 19),
            (CityscapesDataset, ("_leftImg8bit.png", "_gtFine_labelTrainIds.png"), 19),
            (CamVidDataset, (".jpg", ".png"), 11),
        ):
            folder = write_pairs(tmp_path / cls.__name__, 1, (4, 4), classes, *suffixes)
            data = build_dataset(kitti_config(folder, type=cls.__name__))
            assert data.img_infos == [
                {"filename": f"000000{suffixes[0]}", "ann": {"seg_map": f"000000{suffixes[1]}"}}
            ]
            assert len(data.CLASSES) == len(data.PALETTE) == classes


class TestSamples:
    def test_training_sample(self, root: Path) -> None:
        data = build_dataset(kitti_config(root))
        sample = data.get_sample(1)
        assert sample["img"].shape == (3, 16, 20) and sample["img"].dtype == torch.float32
        assert (
            sample["gt_semantic_seg"].shape == (1, 16, 20) and sample["gt_semantic_seg"].dtype == torch.int64
        )
        metas = sample["img_metas"]
        assert (
            metas["filename"] == str(root / "img_dir/000001_10.png")
            and metas["ori_filename"] == "000001_10.png"
        )
        assert metas["ori_shape"] == (24, 32, 3) and metas["pad_shape"] == (16, 20, 3)

    def test_test_sample(self, root: Path) -> None:
        data = build_dataset(kitti_config(root, test_pipeline(flip=True)), dict(test_mode=True))
        sample = data[0]
        assert [tuple(img.shape) for img in sample["img"]] == [(3, 24, 32)] * 2
        assert [meta["flip"] for meta in sample["img_metas"]] == [False, True]

    def test_depends_on_rng_only(self, root: Path) -> None:
        data = build_dataset(kitti_config(root))
        samples = []
        for other in range(2):
            random.seed(other)
            np.random.seed(other)
            samples.append(data.get_sample(0, rng=np.random.default_rng(7)))
        assert same(samples[0], samples[1])
        assert not same(samples[0], data.get_sample(0, rng=np.random.default_rng(8)))
        assert not same(data[0], data[0])  # without one, samples differ

    def test_pipeline_gets_what_it_needs(self, root: Path) -> None:
        seen: dict[str, Any] = {}
        data = build_dataset(
            kitti_config(root, [lambda results: seen.update(results) or results], ignore_index=254)
        )
        data.get_sample(0, rng=(rng := np.random.default_rng(0)))
        assert seen["rng"] is rng and seen["num_classes"] == 19 and seen["ignore_index"] == 254
        assert seen["img_prefix"] == str(root / "img_dir") and seen["seg_prefix"] == str(root / "ann_dir")
        assert seen["seg_fields"] == [] and "label_map" not in seen
        assert seen["img_info"] == data.img_infos[0] and seen["ann_info"] == data.img_infos[0]["ann"]

    def test_a_subclass_may_change_a_step(self, root: Path) -> None:
        class Marked(KittiSegDataset):
            def prepare_train_img(self, idx: int) -> dict[str, Any]:
                return {**super().prepare_train_img(idx), "mark": idx}

        cfg = {key: value for key, value in kitti_config(root).items() if key != "type"}
        plain = build_dataset(kitti_config(root)).get_sample(2, rng=np.random.default_rng(0))
        marked = Marked(**cfg).get_sample(2, rng=np.random.default_rng(0))
        assert marked.pop("mark") == 2 and same(marked, plain)

    def test_can_be_sent_to_workers(self, root: Path) -> None:
        data = build_dataset(kitti_config(root))
        copy = pickle.loads(pickle.dumps(data))
        assert same(
            copy.get_sample(0, np.random.default_rng(0)), data.get_sample(0, np.random.default_rng(0))
        )

    def test_binary_masks_are_refused_by_the_data_set(self, tmp_path: Path) -> None:
        root = write_pairs(tmp_path, count=3, num_classes=2)
        cfg = dict(
            type="CustomDataset",
            data_root=str(root),
            img_dir="img_dir",
            ann_dir="ann_dir",
            img_suffix=".png",
            classes=["back", "front"],
            pipeline=train_pipeline(),
        )
        write_image(root / "ann_dir/000000_10.png", np.full((24, 32), 255, np.uint8))
        assert build_dataset(cfg).get_gt_seg_map_by_idx(0).min() == 255  # the others hold ones
        for i in range(3):
            path = root / f"ann_dir/{i:06d}_10.png"
            write_image(path, (cv2.imread(str(path), 0) == 1).astype(np.uint8) * 255)
        with pytest.raises(UserError, match="add the line task = 'binary' to the config.*mask // 255"):
            build_dataset(cfg).get_sample(1)
        with pytest.raises(UserError, match="mask // 255"):
            build_dataset(cfg).get_gt_seg_map_by_idx(1)


class TestTruth:
    def test_label_maps(self, root: Path) -> None:
        data = build_dataset(kitti_config(root))
        maps = list(data.get_gt_seg_maps())
        assert len(maps) == 4 and maps[0].shape == (24, 32) and maps[0].dtype == np.uint8
        assert np.array_equal(maps[3], np.array(Image.open(root / "ann_dir/000003_10.png")))

    def test_reduce_zero_label(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, count=1, num_classes=4)
        data = CustomDataset(
            [],
            "img_dir",
            ".png",
            "ann_dir",
            data_root=str(tmp_path),
            classes=["a", "b", "c"],
            reduce_zero_label=True,
        )
        raw = np.array(Image.open(tmp_path / "ann_dir/000000_10.png"))
        assert np.array_equal(
            data.get_gt_seg_map_by_idx(0), np.where(raw == 255, 255, (raw - 1).astype(np.uint8))
        )
        data = CustomDataset(
            [],
            "img_dir",
            ".png",
            "ann_dir",
            data_root=str(tmp_path),
            classes=["a", "b", "c", "d"],
            reduce_zero_label=True,
            gt_seg_map_loader_cfg=dict(reduce_zero_label=False),
        )
        assert np.array_equal(data.get_gt_seg_map_by_idx(0), raw)


class TestEvaluation:
    def predictions(self, data: CustomDataset) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        preds = []
        for truth in data.get_gt_seg_maps():
            noise = rng.integers(0, 19, truth.shape, dtype=np.uint8)
            preds.append(np.where((rng.random(truth.shape) < 0.3) | (truth == 255), noise, truth))
        return preds

    @pytest.mark.parametrize("metric", ["mIoU", ["mIoU", "mDice", "mFscore"]])
    def test_label_maps_and_counts_agree(self, root: Path, metric: Any) -> None:
        data = build_dataset(kitti_config(root))
        preds = self.predictions(data)
        scores = data.evaluate(preds, metric=metric, logger="silent")
        counts = data.pre_eval(preds[:3], [0, 1, 2]) + data.pre_eval(preds[3], [3])
        assert data.evaluate(counts, metric=metric, logger="silent") == scores
        assert 0.6 < scores["aAcc"] < 0.8 and 0.4 < scores["mIoU"] < 0.7
        assert scores["mIoU"] == pytest.approx(np.mean([scores[f"IoU.{name}"] for name in data.CLASSES]))

    def test_given_truth(self, root: Path) -> None:
        data = build_dataset(kitti_config(root))
        preds = self.predictions(data)
        assert data.evaluate(preds, logger="silent", gt_seg_maps=preds)["mIoU"] == 1

    def test_table_goes_to_the_logger(self, root: Path) -> None:
        class Log:
            lines: list[str] = []

            def info(self, line: str, *args: Any) -> None:
                self.lines.append(line % args)

        data = build_dataset(kitti_config(root))
        data.evaluate(self.predictions(data), logger=Log())
        assert any("bicycle" in line for line in Log.lines)

    def test_number_of_results(self, root: Path) -> None:
        data = build_dataset(kitti_config(root))
        with pytest.raises(UserError, match="2 results for 4 samples"):
            data.evaluate(self.predictions(data)[:2])
        with pytest.raises(UserError, match="mIou"):
            data.evaluate(self.predictions(data), metric="mIou")

    def test_without_classes(self, root: Path) -> None:
        data = CustomDataset([], str(root / "img_dir"), img_suffix=".png", ann_dir=str(root / "ann_dir"))
        assert data.get_gt_seg_map_by_idx(0).shape == (24, 32)
        with pytest.raises(UserError, match="set `classes`"):
            data.evaluate([np.zeros((24, 32), np.uint8)] * 4)

    def test_custom_classes_are_scored_as_such(self, root: Path) -> None:
        data = build_dataset(kitti_config(root, classes=["car", "road"]))
        preds = [np.where(truth == 255, 0, truth) for truth in data.get_gt_seg_maps()]
        scores = data.evaluate(preds, logger="silent")
        assert scores["mIoU"] == 1 and {k for k in scores if k.startswith("IoU.")} == {"IoU.car", "IoU.road"}


class TestFormatResults:
    def test_grey_label_maps(self, root: Path, tmp_path: Path) -> None:
        data = build_dataset(kitti_config(root))
        maps = [np.full((3, 4), i, np.int64) for i in range(4)]
        paths = data.format_results(maps[2:], str(tmp_path / "out"), to_label_id=False, indices=[2, 3])
        assert paths == [str(tmp_path / f"out/00000{i}_10.png") for i in (2, 3)]
        assert np.array_equal(np.array(Image.open(paths[0])), maps[2])
        assert len(data.format_results(maps, str(tmp_path / "all"))) == 4

    def test_cityscapes_label_ids(self, tmp_path: Path) -> None:
        root = write_pairs(tmp_path, 1, (4, 4), 19, "_leftImg8bit.png", "_gtFine_labelTrainIds.png")
        data = build_dataset(kitti_config(root, type="CityscapesDataset"))
        result = np.array([[0, 1, 13, 18]], np.int64)
        path = data.format_results([result], str(tmp_path / "out"))[0]
        assert np.array(Image.open(path)).tolist() == [[7, 8, 26, 33]]
        path = data.format_results([result], str(tmp_path / "out"), to_label_id=False)[0]
        assert np.array(Image.open(path)).tolist() == [[0, 1, 13, 18]]
