"""Facts of files, and the cache that keeps them."""

from __future__ import annotations

import gzip
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg.datasets.doctor.cache import FactsCache
from mmseg.datasets.doctor.facts import ImageReader, MaskReader
from mmseg.datasets.doctor.reading import read_facts
from mmseg.datasets.doctor.report import joined_moments

READ = ImageReader(dict(type="LoadImageFromFile"))


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 255, (6, 9, 3), dtype=np.uint8)


def test_an_image(tmp_path, picture):
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    facts = READ(str(tmp_path / "a.png"))
    assert facts["size"] == [9, 6] and facts["channels"] == 3 and not facts["constant"]
    np.testing.assert_allclose(facts["mean"], picture[..., ::-1].mean((0, 1)))  # OpenCV's are BGR
    np.testing.assert_allclose(facts["std"], picture[..., ::-1].std((0, 1)))


def test_the_hash_is_that_of_the_pixels(tmp_path, picture):
    for name in ("a.png", "b.bmp", "c.tif"):
        cv2.imwrite(str(tmp_path / name), picture)
    picture[2, 3, 1] ^= 1
    cv2.imwrite(str(tmp_path / "other.png"), picture)
    hashes = {name: READ(str(tmp_path / name))["hash"] for name in os.listdir(tmp_path)}
    other = hashes.pop("other.png")
    assert len(set(hashes.values())) == 1 and other not in hashes.values()


def test_exif_rotation(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "turned.jpg", exif=exif)
    facts = READ(str(tmp_path / "turned.jpg"))
    assert facts["size"] == [6, 9] and facts["orientation"] == 6


@pytest.mark.parametrize(
    ("content", "problem", "why"),
    [
        (b"", "unreadable", "empty"),
        (b"abc", "unreadable", "no decoder"),
        (None, "missing", "does not exist"),
        (b"\xff\xd8\xff", "truncated", "end marker"),
    ],
)
@pytest.mark.parametrize("reader", [READ, MaskReader(), MaskReader("cv2")])
def test_what_cannot_be_read(reader, content, problem, why, tmp_path):
    path = tmp_path / "file.png"
    if content is not None:
        path.write_bytes(content)
    facts = reader(str(path))
    assert facts["problem"] == problem and why in facts["why"]


def test_masks(tmp_path):
    grey = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    palette = Image.fromarray(grey).convert("P")
    palette.putdata(grey.ravel().tolist())
    Image.fromarray(grey).save(tmp_path / "l.png")
    palette.save(tmp_path / "p.png")
    Image.fromarray(grey.astype(np.uint16) * 3).save(tmp_path / "deep.png")
    Image.fromarray(grey > 0).save(tmp_path / "bit.png")
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "float.tif")
    read = MaskReader()
    facts = {path.stem: read(str(path)) for path in tmp_path.iterdir()}
    assert facts["l"]["values"] == facts["p"]["values"] == {"0": 2, "1": 3, "255": 1}
    assert facts["p"]["mode"] == "P" and facts["l"]["size"] == [3, 2]
    assert facts["deep"]["values"] == {"0": 2, "3": 3, "765": 1}
    assert facts["bit"]["values"] == {"0": 2, "1": 4}
    assert facts["rgb"]["channels"] == 3 and facts["rgb"]["grey"] and "values" not in facts["rgb"]
    assert "values" not in facts["float"] and facts["float"]["channels"] == 1


def test_a_cache_until_a_file_changes(tmp_path, picture):
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for path in paths:
        cv2.imwrite(path, picture)
    tasks = [(READ, path) for path in paths * 2]
    kept = tmp_path / "new" / "cache.json.gz"
    advanced = []
    first, known = read_facts(tasks, FactsCache(kept), 2, lambda: advanced.append(1))
    assert known == 0 and len(first) == len(advanced) == 3
    assert [p.name for p in kept.parent.iterdir()] == ["cache.json.gz"]
    again, known = read_facts(tasks, FactsCache(kept), 2)
    assert known == 3 and again == first

    cv2.imwrite(paths[1], picture // 2)
    os.utime(paths[2], ns=(5, 5))
    changed, known = read_facts(tasks, FactsCache(kept), 2)
    assert known == 1
    assert changed[READ.key, paths[1]] != first[READ.key, paths[1]]
    assert changed[READ.key, paths[2]] == first[READ.key, paths[2]]

    other = ImageReader(dict(type="LoadImageFromFile", color_type="grayscale"))
    facts, known = read_facts([(other, paths[0])], FactsCache(kept), 1)
    assert known == 0 and facts[other.key, paths[0]]["channels"] == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"torn", gzip.compress(b'{"version": 0, "entries": {}}')],
    ids=["empty", "torn", "of another version"],
)
def test_a_cache_that_cannot_be_used_is_empty(tmp_path, content):
    path = tmp_path / "cache.json.gz"
    path.write_bytes(content)
    assert FactsCache(path).get("image", str(path)) is None


def test_what_was_read_before_an_interruption_is_kept(tmp_path, picture):
    cv2.imwrite(str(tmp_path / "a.png"), picture)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_facts([(READ, str(tmp_path / "a.png"))], FactsCache(tmp_path / "c.gz"), 1, interrupt)
    assert FactsCache(tmp_path / "c.gz").get(READ.key, str(tmp_path / "a.png")) is not None


def test_moments_of_images_of_different_size_are_joined():
    rng = np.random.default_rng(3)
    arrays = [rng.normal(i, 1 + i, (n, 2)) for i, n in enumerate((5, 50, 11))]
    joined = joined_moments([(len(a), a.mean(0), a.std(0)) for a in arrays])
    everything = np.concatenate(arrays)
    np.testing.assert_allclose(joined, [everything.mean(0), everything.std(0)])
    assert joined_moments([(1, [1.0], [0.0]), (1, [1.0, 2.0], [0.0, 0.0])]) == ([], [])
