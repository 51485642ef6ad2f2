"""tools/test.py --format-only and --eval cityscapes, with drawn scenes in KITTI's layout."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg.conversion.cityscapes import draw_polygons
from mmseg.conversion.label_ids import LABEL_IDS, train_id_table
from mmseg.core.evaluation import confusion_matrix, get_classes
from mmseg.datasets import build_dataset
from mmseg.datasets.cityscapes_scores import official_scripts
from mmseg.datasets.toy_scenes.generate import make_toy_dataset
from mmseg.models import build_segmentor
from tests import helpers_official
from tests.helpers_downloads import pixels, write_cityscapes
from tests.helpers_run import REPO, run_tool_here, tiny_config, tiny_model, write_config
from tests.helpers_scores import evaluate_maps
from tests.helpers_weights import recorded_weights

CLASSES = get_classes("cityscapes")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "data"
    make_toy_dataset(root, num_train=1, num_val=6, size=(128, 64))
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "x.pth"
    state = build_segmentor(tiny_model(num_classes=19)).state_dict()
    torch.save(dict(state_dict=recorded_weights(state), meta={}), path)  # drawn: these predict many classes
    return path


@pytest.fixture
def config(toy, tmp_path) -> Path:
    cfg = tiny_config(toy, model=tiny_model(num_classes=19))
    for split in ("train", "val", "test"):
        for key in ("classes", "palette", "img_suffix"):
            cfg["data"][split].pop(key)
        cfg["data"][split]["type"] = "ToyStreetDataset"
    return write_config(tmp_path / "toy.py", cfg)


@pytest.fixture(name="test")
def calls_of_the_tool(config, weights, tmp_path, monkeypatch, capsys):
    """Call ``test(*options)``; it gives the scores that were written, if any."""

    def call(*options: object) -> dict | None:
        work_dir = tmp_path / f"work_{len(list(tmp_path.iterdir()))}"
        run_tool_here("test", config, weights, "--work-dir", work_dir, *options, monkeypatch=monkeypatch)
        files = list(work_dir.glob("eval_*.json"))
        return json.loads(files[0].read_text())["metric"] if files else None

    return call


def check(scores: dict) -> None:
    """The official scores are the evaluator's own."""
    assert sum(bool(v) for k, v in scores.items() if k.startswith("IoU.")) >= 2
    assert scores["averageScoreClasses"] == pytest.approx(scores["mIoU"], abs=1e-9)
    for name in CLASSES:
        own, official = scores[f"IoU.{name}"], scores["classScores"][name]
        assert (own is None) == (official is None)
        assert own is None or official == pytest.approx(own, abs=1e-9)


def test_official_scores_are_the_evaluators(test, monkeypatch, tmp_path):
    calls = helpers_official.install(monkeypatch)
    check(test("--eval", "mIoU", "cityscapes", "--eval-options", f"imgfile_prefix={tmp_path}/out"))
    assert [Path(p).name for p in calls[0][0]] == [f"{i:06d}_10.png" for i in range(6)]
    alone = test("--eval", "cityscapes")
    assert "averageScoreClasses" in alone and "mIoU" not in alone


def test_format_only(test, toy, config, weights, tmp_path, monkeypatch):
    assert test("--format-only", "--eval-options", f"imgfile_prefix={tmp_path}/out") is None
    test("--format-only", "--eval-options", f"imgfile_prefix={tmp_path}/raw", "to_label_id=False",
         "--out", tmp_path / "maps.npz")  # fmt: skip
    maps = np.load(tmp_path / "maps.npz")
    names = sorted(p.name for p in (toy / "img_dir/val").iterdir())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    for i, name in enumerate(names):
        assert np.array_equal(pixels(tmp_path / "raw" / name), maps[f"arr_{i}"])
        assert np.array_equal(pixels(tmp_path / "out" / name), np.array(LABEL_IDS)[maps[f"arr_{i}"]])
    test("--format-only")
    (default,) = tmp_path.glob("work_*/format_results")
    assert sorted(p.name for p in default.iterdir()) == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format-only", "--eval-options", "imgfile_prefx=x"), "no argument `imgfile_prefx`; did you mean"),
        (("--eval", "cityscapes", "--eval-options", "to_label_id=False"), "leave out to_label_id=False"),
        (("--eval", "cityscapes", "--cfg-options", "data.test.type=CamVidDataset"), "not a CamVidDataset"),
        (("--eval", "cityscapes", "--cfg-options", "data.test.ann_dir=None"), "has no masks"),
        (("--eval", "cityscapes"), "the official scores of Cityscapes need cityscapesScripts"),
    ],
)
def test_mistakes_are_told_before_the_model_is_built(config, tmp_path, monkeypatch, capsys, options, message):
    helpers_official.remove(monkeypatch)
    if "data.test.type=CamVidDataset" in options:
        options = (*options, "data.test.img_suffix=.png")
    with pytest.raises(SystemExit) as stopped:
        run_tool_here(
            "test", config, "no.pth", "--work-dir", tmp_path / "w", *options, monkeypatch=monkeypatch
        )
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow  # `make test-slow` installs cityscapesScripts
class TestWithCityscapesScripts:
    def test_scores_of_a_model_on_the_toy_set(self, test):
        check(test("--eval", "mIoU", "cityscapes"))

    def test_scores_of_every_class_on_the_toy_set(self, toy):
        folders = dict(img_dir="img_dir/val", ann_dir="ann_dir/val", pipeline=[], test_mode=True)
        data = build_dataset(dict(type="ToyStreetDataset", data_root=str(toy), **folders))
        rng = np.random.default_rng(0)
        guesses = []
        for truth in data.get_gt_seg_maps():
            noise = rng.integers(0, 19, truth.shape)
            guesses.append(np.where((rng.random(truth.shape) < 0.8) & (truth != 255), truth, noise))
        scores = data.evaluate(guesses, metric=["cityscapes", "mIoU"], logger="silent")
        assert all(0.01 < scores[f"IoU.{name}"] < 0.99 for name in CLASSES)
        check(scores)

    def test_counts_of_10000_random_label_maps(self, tmp_path):
        """Each image's matrix, integer for integer; sizes from 1x1, any id in the truth, 1 to 19 classes."""
        scripts = official_scripts()
        settings = copy.copy(scripts.args)
        settings.evalInstLevelScore = settings.evalPixelAccuracy = False
        rng, table, ids = np.random.default_rng(0), train_id_table(), np.array(LABEL_IDS, np.uint8)
        guesses, truths, total = [], [], scripts.generateMatrix(settings)
        rows, columns = np.ix_(LABEL_IDS, LABEL_IDS)
        for _ in range(10_000):
            shape = rng.integers(1, 14, 2)
            held = rng.permutation(34)[: rng.integers(1, 35)]
            truth = rng.choice(held, shape).astype(np.uint8)
            guess = rng.choice(rng.permutation(19)[: rng.integers(1, 20)], shape)
            guess = np.where((rng.random(shape) < 0.5) & (table[truth] < 19), table[truth], guess)
            for name, array in (("p", ids[guess]), ("t", truth)):
                Image.fromarray(array).save(tmp_path / f"{name}.png", compress_level=0)
            official = scripts.generateMatrix(settings)
            scripts.evaluatePair(f"{tmp_path}/p.png", f"{tmp_path}/t.png", official, {}, {}, settings)
            guesses.append(guess.astype(rng.choice([np.uint8, np.int64])))
            truths.append(table[truth])
            own = confusion_matrix(guesses[-1], truths[-1], 19, 255).numpy()
            assert np.array_equal(own, official[rows, columns])
            total = total + official
        result = evaluate_maps(guesses, truths, 19)
        assert np.array_equal(result.confusion, total[rows, columns]) and len(result.per_image) == 10_000
        for i, label in enumerate(LABEL_IDS):
            assert result.scores[f"IoU.class {i}"] == scripts.getIouScoreForLabel(label, total, settings)

    def test_layout_of_cityscapes_with_scores_of_instances(self, tmp_path):
        root = write_cityscapes(tmp_path)
        command = [sys.executable, "tools/convert_datasets/cityscapes.py", root]
        subprocess.run(command, cwd=REPO, env={**os.environ, "PYTHONPATH": str(REPO)}, check=True)
        folders = dict(img_dir="leftImg8bit/val", ann_dir="gtFine/val", pipeline=[], test_mode=True)
        data = build_dataset(dict(type="CityscapesDataset", data_root=str(root), **folders))
        guess = np.zeros((12, 20), np.int64)
        guess[2:6, 5:10] = 13  # 20 of the car's 28 pixels, and all of the road
        scores = data.evaluate([guess, guess], metric=["cityscapes", "mIoU"], logger="silent")
        assert scores["averageScoreClasses"] == pytest.approx(scores["mIoU"], abs=1e-9)
        assert scores["classScores"]["car"] == pytest.approx(scores["IoU.car"], abs=1e-9) == 20 / 28
        assert scores["classInstScores"]["car"] == pytest.approx(20 / 28, abs=1e-9)
        assert math.isnan(scores["classScores"]["bus"])

    def test_polygons_and_label_ids_give_the_same_mask(self, tmp_path):
        root = write_cityscapes(tmp_path)
        for path in root.rglob("*polygons.json"):
            mask = pixels(Path(str(path).replace("polygons.json", "labelIds.png")))
            assert np.array_equal(draw_polygons(path), train_id_table()[mask])

    def test_tables_of_ids(self):
        from cityscapesscripts.helpers.labels import labels

        table = train_id_table()
        assert all(table[label.id] == label.trainId for label in labels if label.id >= 0)
        assert len([label for label in labels if label.id >= 0]) == np.count_nonzero(table[:255] >= 0)
        evaluated = {label.id: label.name for label in labels if not label.ignoreInEval}
        assert evaluated == helpers_official.EVALUATED == dict(zip(LABEL_IDS, CLASSES, strict=True))
