"""Results for the servers of Cityscapes and KITTI, and their official scores."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmseg.conversion.label_ids import LABEL_IDS
from mmseg.core.evaluation import get_classes, get_palette
from mmseg.datasets import CustomDataset, build_dataset
from mmseg.utils.errors import UserError
from tests import helpers_official
from tests.helpers_data import kitti_config, write_image, write_pairs
from tests.helpers_downloads import write_cityscapes

RECORDED = Path(__file__).parent.parent / "data/recorded/cityscapes_scores.json"
CITYSCAPES = dict(type="CityscapesDataset", img_dir="leftImg8bit/val", ann_dir="gtFine/val", pipeline=[])


def truth_and_guess(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Label maps (48, 64): patches of 15 of the classes and of 255, and a guess that is right for most."""
    rng = np.random.default_rng(index)
    patches = rng.choice([*range(15), 255], (6, 8)).astype(np.uint8)
    truth = np.kron(patches, np.ones((8, 8), np.uint8))
    guess = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 17, truth.shape))
    return truth, np.where(guess == 255, 3, guess).astype(np.int64)


@pytest.fixture
def scored(tmp_path: Path) -> tuple[Any, list[np.ndarray]]:
    """A data set in KITTI's layout and predictions for it."""
    guesses = []
    for i in range(5):
        truth, guess = truth_and_guess(i)
        write_image(tmp_path / f"img_dir/{i:06d}_10.png", np.zeros((48, 64, 3), np.uint8))
        write_image(tmp_path / f"ann_dir/{i:06d}_10.png", truth)
        guesses.append(guess)
    return build_dataset(kitti_config(tmp_path, pipeline=[], test_mode=True)), guesses


class TestFormatResults:
    @pytest.mark.parametrize("kind", ["KittiSegDataset", "CityscapesDataset", "ToyStreetDataset"])
    def test_label_ids_names_and_palette(self, tmp_path, kind):
        suffix = "_leftImg8bit.png" if kind == "CityscapesDataset" else "_10.png"
        root = write_pairs(tmp_path, 2, (4, 5), img_suffix=f"/x{suffix}", seg_map_suffix=f"/x{suffix}")
        (root / "img_dir/000001").rename(root / "img_dir/other")
        (root / "img_dir/other" / f"x{suffix}").rename(root / f"img_dir/other/y{suffix}")
        data = build_dataset(kitti_config(root, type=kind, ann_dir=None, pipeline=[], test_mode=True))
        maps = [np.arange(20).reshape(4, 5) % 19, np.full((4, 5), 255)]
        paths = data.format_results(maps, str(tmp_path / "out"))
        assert [Path(p).name for p in paths] == [f"x{suffix}", f"y{suffix}"]
        assert {Path(p).parent for p in paths} == {tmp_path / "out"}
        image = Image.open(paths[0])
        assert np.array(image).tolist() == np.array(LABEL_IDS)[maps[0]].tolist()
        assert np.array(image.convert("RGB"))[0].tolist() == get_palette("cityscapes")[:5]
        assert (np.array(Image.open(paths[1])) == 0).all()
        data.format_results(maps[:1], str(tmp_path / "out"), to_label_id=False, indices=[1])
        image = Image.open(paths[1])
        assert np.array(image).tolist() == maps[0].tolist()
        assert np.array(image.convert("RGB"))[0].tolist() == get_palette("cityscapes")[:5]

    def test_classes_of_ones_own_keep_their_label_ids(self, tmp_path):
        root = write_pairs(tmp_path, 1, (2, 2))
        data = build_dataset(kitti_config(root, pipeline=[], test_mode=True, classes=["car", "road"]))
        (path,) = data.format_results([np.array([[0, 1], [1, 255]])], str(tmp_path / "out"))
        assert np.array(Image.open(path)).tolist() == [[26, 7], [7, 0]]

    def test_two_images_of_one_name(self, tmp_path):
        for folder in "ab":
            write_image(tmp_path / f"img_dir/{folder}/1_10.png", np.zeros((2, 2, 3), np.uint8))
        data = build_dataset(kitti_config(tmp_path, ann_dir=None, pipeline=[], test_mode=True))
        with pytest.raises(UserError, match="two images are called 1_10"):
            data.format_results([np.zeros((2, 2), int)], str(tmp_path / "out"), indices=[0])

    def test_label_that_is_no_class(self, tmp_path):
        data = build_dataset(kitti_config(write_pairs(tmp_path, 1, (2, 2)), pipeline=[], test_mode=True))
        with pytest.raises(
            UserError, match=r"000000_10.png holds 19, but with 19 classes a label is 0 to 18"
        ):
            data.format_results([np.full((2, 2), 19)], str(tmp_path / "out"))

    def test_plain_data_set_writes_classes_in_its_folders(self, tmp_path):
        write_image(tmp_path / "img/sub/a.jpg", np.zeros((2, 2, 3), np.uint8))
        data = CustomDataset([], str(tmp_path / "img"), test_mode=True, classes=list("abc"))
        (path,) = data.format_results([np.array([[0, 1], [2, 255]])], str(tmp_path / "out"))
        assert path == str(tmp_path / "out/sub/a.png")
        assert (np.array(Image.open(path)).tolist(), Image.open(path).mode) == ([[0, 1], [2, 255]], "L")
        many = CustomDataset([], str(tmp_path / "img"), test_mode=True, classes=[str(i) for i in range(300)])
        (path,) = many.format_results([np.array([[0, 299]])], str(tmp_path / "out"))
        assert np.array(Image.open(path)).tolist() == [[0, 299]]


class TestOfficialScores:
    def test_equal_the_recorded_and_the_evaluators(self, scored, tmp_path, monkeypatch):
        recorded = json.loads(RECORDED.read_text())  # with cityscapesScripts 2.3.0, of these very files
        calls = helpers_official.install(monkeypatch)
        data, guesses = scored
        files = data.format_results(guesses, str(tmp_path / "out"))
        assert [zlib.crc32(np.array(Image.open(f)).tobytes()) for f in files] == recorded["crc32"]
        official = data.evaluate(files, metric="cityscapes", logger="silent")
        ours = data.evaluate(guesses, metric="mIoU", logger="silent")
        assert calls[0][0] == files
        for scores in (official, recorded):
            assert scores["averageScoreClasses"] == pytest.approx(ours["mIoU"], abs=1e-9)
            for name in get_classes("cityscapes"):
                expected = scores["classScores"][name]
                expected = math.nan if expected is None else expected
                assert ours[f"IoU.{name}"] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        assert math.isnan(ours["IoU.bicycle"]) and ours["IoU.bus"] == 0

    def test_label_maps_are_formatted_first(self, scored, tmp_path, monkeypatch):
        helpers_official.install(monkeypatch)
        data, guesses = scored
        a = data.evaluate(
            guesses, metric=["cityscapes", "mIoU"], logger="silent", imgfile_prefix=str(tmp_path / "a")
        )
        assert len(list((tmp_path / "a").glob("*_10.png"))) == 5
        assert a["averageScoreClasses"] == pytest.approx(a["mIoU"], abs=1e-9)
        b = data.evaluate(guesses, metric="cityscapes", logger="silent")
        assert b["averageScoreClasses"] == a["averageScoreClasses"] and "mIoU" not in b

    def test_official_truth_is_used_where_it_is(self, tmp_path, monkeypatch, caplog):
        calls = helpers_official.install(monkeypatch)
        root = write_cityscapes(tmp_path)
        for path in root.rglob("*labelIds.png"):  # masks that are not read then
            Path(str(path).replace("labelIds", "labelTrainIds")).write_bytes(path.read_bytes())
        data = build_dataset(dict(CITYSCAPES, data_root=str(root), test_mode=True))
        guess = np.full((12, 20), 255)
        guess[2:6, 3:10] = 13  # the car
        guess[8:, :5] = 1  # sidewalk in place of road
        scores = data.evaluate([guess, guess], metric="cityscapes", logger="silent")
        _, truths, settings = calls[0]
        assert truths == [str(p) for p in sorted(root.glob("gtFine/val/*/*labelIds.png"))]
        assert settings.evalInstLevelScore and settings.quiet and not settings.JSONOutput
        assert scores["classScores"]["car"] == 1 and scores["classScores"]["road"] == 0
        for path in root.rglob("*instanceIds.png"):
            path.unlink()
        data.evaluate([guess, guess], metric="cityscapes", logger="silent")
        assert not calls[1][2].evalInstLevelScore

    def test_mistakes(self, scored, monkeypatch):
        data, guesses = scored
        helpers_official.install(monkeypatch)
        with pytest.raises(UserError, match="there are 4 results for 5 samples"):
            data.evaluate(guesses[1:], metric="cityscapes")
        with pytest.raises(
            UserError, match="cityscapesScripts refuses the results: Image widths of .* not equal"
        ):
            data.evaluate([g[:, 1:] for g in guesses], metric="cityscapes")
        with pytest.raises(UserError, match="needs label maps or their files; set `pre_eval=False`"):
            data.evaluate(data.pre_eval(guesses, range(5)), metric="cityscapes")
        helpers_official.remove(monkeypatch)
        with pytest.raises(UserError, match=r'need cityscapesScripts .*: pip install -e "\.\[cityscapes\]"'):
            data.evaluate(guesses, metric="cityscapes")
