"""tools/convert_datasets on miniatures of the official downloads: KITTI, Cityscapes, ADE20K."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmseg.conversion.label_ids import train_id_table
from mmseg.conversion.splits import draw_split
from mmseg.datasets import build_dataset
from tests.helpers_downloads import (
    SIZE,
    contents,
    labels,
    photo,
    pixels,
    save,
    write_ade,
    write_cityscapes,
    write_kitti,
)
from tests.helpers_run import REPO

HERE = {**os.environ, "PYTHONPATH": str(REPO)}
CONVERTERS = ("kitti", "cityscapes", "camvid", "voc_aug", "ade")
# The classes of Cityscapes' 19 that are evaluated, by their label ids.
TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12}
TRAIN_IDS |= {26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}


def pack(folder: Path, archive: Path) -> Path:
    """Pack what ``folder`` holds."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz") as file:
            file.add(folder, ".")
    return archive


@pytest.mark.parametrize("tool", CONVERTERS)
def test_help_is_quick_and_imports_no_torch(tool):
    command = [sys.executable, "-X", "importtime", f"tools/convert_datasets/{tool}.py", "--help"]
    done = subprocess.run(command, cwd=REPO, env=HERE, capture_output=True, text=True, check=True)
    assert "--out-dir" in done.stdout and "--nproc" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert not {"torch", "numpy", "PIL", "cv2"} & imported


def test_train_ids_of_all_label_ids():
    table = train_id_table()
    assert {i: int(table[i]) for i in range(34)} == {i: TRAIN_IDS.get(i, 255) for i in range(34)}
    assert table[255] == 255 and (table[34:255] == -1).all()


class TestKitti:
    def test_layout_values_and_split(self, tmp_path, convert):
        source, out = write_kitti(tmp_path / "data_semantics", count=8, tests=2), tmp_path / "new/out"
        said = convert("kitti", source, "-o", out)
        assert said == f"6 train, 2 val, 2 test frames in {out}\n"
        split = dict(line.split() for line in (out / "split.txt").read_text().splitlines())
        assert list(split) == [f"{i:06d}_10" for i in range(8)]
        for name, part in split.items():
            mask = pixels(out / f"ann_dir/{part}/{name}.png")
            raw = pixels(source / f"training/semantic/{name}.png")
            assert mask.dtype == np.uint8
            assert mask.tolist() == [[TRAIN_IDS.get(v, 255) for v in row] for row in raw.tolist()]
            image = source / f"training/image_2/{name}.png"
            assert (out / f"img_dir/{part}/{name}.png").read_bytes() == image.read_bytes()
        assert len(contents(out)) == 8 * 2 + 2 + 1
        assert sorted(p.name for p in tmp_path.iterdir()) == ["data_semantics", "new"]
        data = build_dataset(
            dict(type="KittiSegDataset", data_root=str(out), img_dir="img_dir/train", ann_dir="ann_dir/train")
            | dict(pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")])
        )
        assert len(data) == 6 and data[0]["gt_semantic_seg"].shape == SIZE[::-1]

    def test_split_of_200_follows_from_the_seed_alone(self):
        names = [f"{i:06d}_10" for i in range(200)]
        split = draw_split(names, seed=0, num_val=50)
        assert sorted(split.values()) == ["train"] * 150 + ["val"] * 50
        assert split == draw_split(reversed(names), seed=0, num_val=50)
        assert split != draw_split(names, seed=1, num_val=50)
        # Computed apart from this code; another split would not compare with published scores.
        assert [n for n, part in split.items() if part == "val"][:3] == [
            "000064_10",
            "000074_10",
            "000093_10",
        ]

    def test_seed_and_file_fix_the_split(self, tmp_path, convert):
        source = write_kitti(tmp_path / "in")
        convert("kitti", source, "-o", tmp_path / "a", "--seed", 7)
        convert("kitti", source, "-o", tmp_path / "b", "--split", tmp_path / "a/split.txt")
        assert contents(tmp_path / "a") == contents(tmp_path / "b")
        (tmp_path / "val.txt").write_text("# held out\n000003_10.png\n000005_10\n")
        convert("kitti", source, "-o", tmp_path / "c", "--split", tmp_path / "val.txt")
        assert sorted(p.name for p in (tmp_path / "c/ann_dir/val").iterdir()) == [
            "000003_10.png",
            "000005_10.png",
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("000000_10 train\n", "lacks 7 of 8 frames, such as `000001_10`"),
            ("000009_10\n", "names `000009_10`, which the data set does not have"),
            ("000000_10\n000000_10.png\n", "names `000000_10.png` twice"),
            ("000000_10 valid\n", "puts `000000_10` into `valid`; splits are train, val"),
            ("000000_10 train\n000001_10\n", "must have lines `NAME SPLIT`"),
        ],
    )
    def test_split_file_with_mistakes(self, tmp_path, refused, text, message):
        (tmp_path / "split.txt").write_text(text)
        source = write_kitti(tmp_path / "in")
        assert message in refused("kitti", source, "-o", tmp_path / "out", "--split", tmp_path / "split.txt")
        assert not (tmp_path / "out").exists()

    def test_pairs_of_two_sizes_are_refused_by_name(self, tmp_path, refused):
        source = write_kitti(tmp_path / "in")
        for i in (2, 5):
            save(source / f"training/image_2/00000{i}_10.png", photo(0, (18, 11)))
        said = refused("kitti", source, "-o", tmp_path / "out")
        assert "2 of 8 pairs of image and mask do not match or cannot be read, so nothing was written" in said
        for i in (2, 5):
            assert f"\n  00000{i}_10.png: the image is 18x11 and the mask 20x12\n" in said
        assert not (tmp_path / "out").exists()

    def test_missing_counterparts_are_listed_with_the_sizes(self, tmp_path, refused):
        source = write_kitti(tmp_path / "in") / "training"
        (source / "image_2/000001_10.png").unlink()
        (source / "semantic/000004_10.png").unlink()
        save(source / "image_2/000006_10.png", photo(0, (18, 11)))
        said = refused("kitti", tmp_path / "in", "-o", tmp_path / "out").splitlines()
        assert said[0].startswith("error: 3 of 8 pairs")
        assert said[1:] == [
            f"  {source}/image_2/000004_10.png has no mask",
            f"  {source}/semantic/000001_10.png has no image",
            f"  {source}/semantic/000006_10.png: the image is 18x11 and the mask 20x12",
        ]

    def test_masks_without_images(self, tmp_path, refused):
        source = write_kitti(tmp_path / "in")
        shutil.rmtree(source / "training/image_2")
        said = refused("kitti", source, "-o", tmp_path / "out")
        assert f"{source}/training/image_2 does not exist, but the images of KITTI should be there" in said

    def test_values_colours_and_converted_masks(self, tmp_path, refused):
        source = write_kitti(tmp_path / "in", count=3) / "training/semantic"
        save(source / "000000_10.png", labels(0, [*range(34), 34, 200]))
        save(source / "000001_10.png", photo(0))
        (source / "000002_10.png").write_bytes(b"no image")
        said = refused("kitti", tmp_path / "in", "-o", tmp_path / "out")
        assert "000000_10.png holds 34 (" in said and "200 (" in said
        assert "000001_10.png has 3 channels" in said
        assert "000002_10.png: cannot read" in said
        for i in range(3):
            save(source / f"00000{i}_10.png", labels(i, [*range(19), 255]))
        assert "hold 0 to 18 and 255: these are train ids" in refused("kitti", tmp_path / "in", "-o", "out")

    def test_earlier_conversion_stays_unless_overwritten(self, tmp_path, convert, refused):
        source, out = write_kitti(tmp_path / "in"), tmp_path / "out"
        (out / "other").mkdir(parents=True)
        (out / "other/mine.txt").write_text("mine")
        convert("kitti", source, "-o", out)
        before = contents(out)
        assert f"{out}/img_dir is there already" in refused("kitti", source, "-o", out)
        save(source / "training/image_2/000000_10.png", photo(0, (18, 11)))
        refused("kitti", source, "-o", out, "--overwrite")
        assert contents(out) == before
        save(source / "training/image_2/000000_10.png", photo(0))
        convert("kitti", source, "-o", out, "--overwrite", "--seed", 6)
        after = contents(out)
        assert after["other/mine.txt"] == b"mine" and len(after) == len(before)
        assert after["split.txt"] != before["split.txt"]

    @pytest.mark.parametrize("name", ["data_semantics.zip", "data_semantics.tgz"])
    def test_archives(self, tmp_path, convert, name):
        source = write_kitti(tmp_path / "in", tests=1)
        convert("kitti", source, "-o", tmp_path / "a")
        convert("kitti", pack(source, tmp_path / name), "-o", tmp_path / "b")
        assert contents(tmp_path / "a") == contents(tmp_path / "b")

    def test_several_processes_give_the_same(self, tmp_path):
        source = write_kitti(tmp_path / "in", count=17)
        save(source / "training/image_2/000011_10.png", photo(0, (18, 11)))
        command = [
            sys.executable,
            "tools/convert_datasets/kitti.py",
            source,
            "-o",
            tmp_path / "a",
            "--nproc",
            "2",
        ]
        done = subprocess.run(command, cwd=REPO, env=HERE, capture_output=True, text=True)
        assert done.returncode == 2
        assert "1 of 17 pairs" in done.stderr and "000011_10.png: the image is 18x11" in done.stderr
        assert not (tmp_path / "a").exists()

    def test_wrong_paths(self, tmp_path, refused):
        assert "does not exist; give the official download" in refused("kitti", tmp_path / "none")
        (tmp_path / "page.html").write_text("404")
        assert "neither a folder nor a .zip or .tar" in refused(
            "kitti", tmp_path / "page.html", "-o", tmp_path / "o"
        )
        (tmp_path / "empty").mkdir()
        assert "empty/semantic does not exist" in refused("kitti", tmp_path / "empty", "-o", tmp_path / "o")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "page.html"]


class TestArchivesAreNotTrusted:
    @pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png"])
    def test_names_that_lead_outside(self, tmp_path, refused, name):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
            file.writestr(name, b"x")
        said = refused("kitti", tmp_path / "x.zip", "-o", tmp_path / "deep/out")
        assert "would be written outside its folder" in said
        assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zip"]

    def test_links(self, tmp_path, refused):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/training").symlink_to("/etc")
        archive = pack(tmp_path / "folder", tmp_path / "x.tar.gz")
        assert "a link or device" in refused("kitti", archive, "-o", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_damaged(self, tmp_path, refused):
        archive = pack(write_kitti(tmp_path / "in"), tmp_path / "x.zip")
        data = bytearray(archive.read_bytes())
        data[200:260] = bytes(60)
        archive.write_bytes(data)
        assert "x.zip is damaged" in refused("kitti", archive, "-o", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_cut_short(self, tmp_path, refused):
        archive = pack(write_kitti(tmp_path / "in"), tmp_path / "x.tar.gz")
        archive.write_bytes(archive.read_bytes()[:200])
        assert "x.tar.gz is damaged" in refused("kitti", archive, "-o", tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestCityscapes:
    def expected(self) -> np.ndarray:
        mask = np.full(SIZE[::-1], 255, np.uint8)
        mask[2:6, 3:10], mask[8:, :5] = 13, 0
        return mask

    def test_in_place(self, tmp_path, convert):
        root = write_cityscapes(tmp_path / "cityscapes", splits=("train", "val", "test"))
        before = contents(root)
        assert convert("cityscapes", root) == f"2 test, 2 train, 2 val frames in {root}\n"
        after = contents(root)
        new = sorted(set(after) - set(before))
        assert {name: after[name] for name in before} == before
        assert [n for n in new if n.endswith(".txt")] == ["test.txt", "train.txt", "val.txt"]
        masks = [n for n in new if n.endswith("_gtFine_labelTrainIds.png")]
        assert len(masks) == 6 and len(new) == 9
        for name in masks:
            assert np.array_equal(pixels(root / name), self.expected())
        assert after["val.txt"] == b"aachen/aachen_000001_000000\naachen/aachen_000001_000001\n"
        convert("cityscapes", root)
        assert contents(root) == after
        split = dict(split="val.txt", img_dir="leftImg8bit/val", ann_dir="gtFine/val")
        data = build_dataset(dict(type="CityscapesDataset", data_root=str(root), pipeline=[], **split))
        assert len(data) == 2

    def test_archives_and_another_folder_give_the_same(self, tmp_path, convert):
        root = write_cityscapes(tmp_path / "cityscapes")
        archives = []
        for name in ("leftImg8bit", "gtFine"):
            shutil.copytree(root / name, tmp_path / f"half_{name}" / name)
            archives.append(pack(tmp_path / f"half_{name}", tmp_path / f"{name}_trainvaltest.zip"))
        convert("cityscapes", *archives, "-o", tmp_path / "a")
        convert("cityscapes", root, "-o", tmp_path / "b")
        convert("cityscapes", root)
        assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(root)

    def test_polygons_need_the_scripts(self, tmp_path, refused, monkeypatch):
        monkeypatch.setitem(sys.modules, "cityscapesscripts", None)
        monkeypatch.setitem(sys.modules, "cityscapesscripts.helpers.annotation", None)
        root = write_cityscapes(tmp_path)
        for path in root.rglob("*labelIds.png"):
            path.unlink()
        assert 'pip install -e ".[cityscapes]"' in refused("cityscapes", root)
        assert not list(root.rglob("*TrainIds*"))

    def test_mismatches_are_refused_by_name(self, tmp_path, refused):
        root = write_cityscapes(tmp_path / "in")
        before = contents(root)
        image = root / "leftImg8bit/val/aachen/aachen_000001_000000_leftImg8bit.png"
        small = save(image, photo(0, (18, 11))).read_bytes()
        said = refused("cityscapes", root)
        assert "val/aachen/aachen_000001_000000: the image is 18x11 and the mask 20x12" in said
        image.unlink()
        said = refused("cityscapes", root)
        assert "aachen_000001_000000_gtFine_labelIds.png has no image" in said
        assert contents(root).keys() == before.keys() - {image.relative_to(root).as_posix()} and small
        assert "no folder gtCoarse" in refused("cityscapes", root, "--gt-dir", "gtCoarse")


class TestAde:
    def test_zip_and_folder(self, tmp_path, convert):
        source = write_ade(tmp_path / "in/ADEChallengeData2016")
        archive = pack(tmp_path / "in", tmp_path / "ADEChallengeData2016.zip")
        said = convert("ade", archive, "-o", tmp_path / "a")
        assert said == f"2 training, 2 validation frames in {tmp_path}/a\n"
        convert("ade", source, "-o", tmp_path / "b")
        assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(source)
        convert("ade", source, "-o", source)
        assert contents(tmp_path / "a") == contents(source)
        data = build_dataset(
            dict(
                type="ADE20KDataset",
                data_root=str(tmp_path / "a"),
                img_dir="images/training",
                ann_dir="annotations/training",
                pipeline=[
                    dict(type="LoadImageFromFile"),
                    dict(type="LoadAnnotations", reduce_zero_label=True),
                ],
            )
        )
        raw = pixels(source / "annotations/training/ADE_train_00000000.png").astype(int)
        assert np.array_equal(data[0]["gt_semantic_seg"], np.where(raw == 0, 255, raw - 1))

    def test_mismatches_are_refused_by_name(self, tmp_path, refused):
        source = write_ade(tmp_path / "in")
        save(source / "annotations/validation/ADE_val_00000001.png", labels(0, range(151), (18, 11)))
        save(source / "annotations/training/ADE_train_00000001.png", labels(0, [*range(150), 151]))
        said = refused("ade", source, "-o", tmp_path / "out")
        assert "ADE_val_00000001: the image is 20x12 and the mask 18x11" in said
        assert "ADE_train_00000001.png holds 151 (" in said
        assert not (tmp_path / "out").exists()
