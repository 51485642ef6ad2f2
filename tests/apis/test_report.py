"""From a run's folder to what its report shows: what is found, evaluated once, and kept."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg.apis import report, report_evaluation
from mmseg.apis.inference import init_segmentor
from mmseg.apis.report import results_of, write_report
from mmseg.apis.report_evaluation import labels_and_confidences
from mmseg.apis.report_runs import best_checkpoint, find_source, read_label_maps
from mmseg.apis.setup import prepare_config
from mmseg.apis.test import load_for_test, test_loader
from mmseg.datasets import build_dataset
from mmseg.engine.evaluator import evaluate
from mmseg.models import build_segmentor
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, tiny_model, write_config, write_dataset

CPU = torch.device("cpu")
LOG = [
    {"env_info": "no record"},
    {"mode": "train", "iter": 2, "loss": 3.0},
    {"mode": "train", "iter": 4, "loss": 2.0},
    {"mode": "val", "iter": 4, "mIoU": 0.2},
]


def write_run(folder: Path, data: Path, name: str = "tiny", **sections) -> Path:
    """A run's folder as training leaves it, with random weights."""
    folder.mkdir()
    write_config(folder / f"{name}.py", tiny_config(data, **sections))
    torch.manual_seed(3)
    model = build_segmentor(tiny_model())
    model.init_weights()
    torch.save({"meta": {"iter": 4}, "state_dict": model.state_dict()}, folder / "latest.pth")
    (folder / "1.log.json").write_text("\n".join(map(json.dumps, LOG)) + '\n{"mode": "tra')
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), train=1, val=5)


@pytest.fixture
def run(tmp_path, data) -> Path:
    return write_run(tmp_path / "run", data)


def test_scores_are_those_of_the_evaluator(run):
    results = results_of(find_source(str(run)), device=CPU)
    cfg = prepare_config(str(run / "tiny.py"))
    dataset = build_dataset(cfg.data.test, {"test_mode": True})
    model = load_for_test(cfg, str(run / "latest.pth"), dataset, CPU)
    expected = evaluate(model, test_loader(cfg, dataset, with_truth=True), device=CPU)
    np.testing.assert_array_equal(results.per_image, expected.per_image)
    np.testing.assert_array_equal(results.confusion, expected.confusion)
    assert results.images == expected.names and results.classes == ["left", "middle", "right"]
    counted = expected.confusion.sum()
    assert results.calibration[..., 0].sum() == counted == results.places.grid[..., 0].sum()
    assert results.calibration[..., 2].sum() == np.trace(expected.confusion)
    assert results.places.distance[:, 1].sum() == counted - np.trace(expected.confusion)
    assert results.about["macs"] > 1e6 and results.about["input_size"] == [48, 64]
    assert results.about["iterations"] == 4 and results.missing == {}
    assert [r["iter"] for r in results.curves["train"]] == [2, 4]


def test_the_second_time_nothing_is_evaluated(run, monkeypatch):
    first = results_of(find_source(str(run)), device=CPU)

    def never(*args, **kwargs):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(report_evaluation, "evaluate_for_report", never)
    start = time.perf_counter()
    second = results_of(find_source(str(run)), device=CPU)
    assert time.perf_counter() - start < 2
    np.testing.assert_array_equal(first.per_image, second.per_image)
    assert second.thumbnails == first.thumbnails
    # The file alone, elsewhere, has all of it, the curves too.
    moved = run.parent / "moved.npz"
    shutil.copy(run / "report_data.npz", moved)
    alone = results_of(find_source(str(moved)), device=CPU)
    assert alone.name == "moved" and alone.curves == first.curves
    # Another checkpoint, or another test pipeline, is evaluated.
    with pytest.raises(AssertionError, match="evaluated again"):
        results_of(find_source(str(run)), device=CPU, options={"data.test.img_dir": "img_dir/train"})
    with pytest.raises(AssertionError, match="evaluated again"):
        results_of(find_source(str(run)), device=CPU, again=True)
    os.utime(run / "latest.pth", ns=(1, 1))
    with pytest.raises(AssertionError, match="evaluated again"):
        results_of(find_source(str(run)), device=CPU)


def test_without_evaluation_the_curves_remain(run):
    results = results_of(find_source(str(run)), device=CPU, evaluate=False)
    assert results.per_image is None and results.curves["val"][0]["mIoU"] == 0.2
    assert "--no-evaluate" in results.missing["images"]
    assert not (run / "report_data.npz").exists()


def test_a_file_of_scores(run, tmp_path):
    scores = {"aAcc": 0.5, "mIoU": 0.3, "IoU.left": 0.1, "IoU.right": None}
    path = tmp_path / "eval_single_scale_1.json"
    content = {"config": str(run / "tiny.py"), "checkpoint": str(run / "latest.pth"), "metric": scores}
    path.write_text(json.dumps(content))
    source = find_source(str(path))
    assert source.checkpoint == str(run / "latest.pth")
    results = results_of(source, device=CPU, evaluate=False)
    assert results.scores["mIoU"] == 0.3 and np.isnan(results.scores["IoU.right"])
    assert results_of(source, device=CPU).per_image.shape == (5, 3, 3)


@pytest.mark.parametrize("ending", [".npz", ".pkl"])
def test_label_maps(run, tmp_path, ending):
    import pickle

    cfg = prepare_config(str(run / "tiny.py"))
    dataset = build_dataset(cfg.data.test, {"test_mode": True})
    model = load_for_test(cfg, str(run / "latest.pth"), dataset, CPU)
    maps = []
    loader = test_loader(cfg, dataset, with_truth=True)
    evaluate(model, loader, device=CPU, on_prediction=lambda i, label, meta: maps.append(label))
    path = str(tmp_path / f"maps{ending}")
    if ending == ".npz":
        np.savez_compressed(path, *maps)
    else:
        Path(path).write_bytes(pickle.dumps(maps))
    with pytest.raises(UserError, match="holds label maps only; say what they are of with --config"):
        find_source(path)
    source = find_source(path, config=str(run / "tiny.py"))
    results = results_of(source, device=CPU)
    np.testing.assert_array_equal(results.per_image, results_of(find_source(str(run)), device=CPU).per_image)
    assert results.calibration is None and "confidences" in results.missing["calibration"]
    assert "--shape" in results.missing["cost"]
    assert results_of(source, device=CPU, shape=(48, 64)).about["macs"] > 1e6
    assert len(read_label_maps(path)) == 5


def test_confidences_are_those_of_the_class(run):
    model = init_segmentor(str(run / "tiny.py"), str(run / "latest.pth"), device="cpu")
    image = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    meta = {"ori_shape": (24, 32, 3), "img_shape": (48, 64, 3), "flip": False}
    flipped = {**meta, "flip": True, "flip_direction": "horizontal"}
    for views, metas in (([image], [[meta, meta]]), ([image, image.flip(3)], [[meta] * 2, [flipped] * 2])):
        with torch.no_grad():
            labels = model.predict(views, metas)
            pairs = list(labels_and_confidences(model, views, metas))
        assert len(pairs) == 2
        for expected, (label, confidence) in zip(labels, pairs, strict=True):
            assert torch.equal(label, expected) and confidence.shape == (24, 32)
            assert confidence.min() >= 1 / 3 - 1e-6 and confidence.max() <= 1
    with torch.no_grad():
        logits = model.encode_decode(image, [meta, meta])
    _, confidence = next(labels_and_confidences(model, [image], [[{**meta, "ori_shape": (48, 64, 3)}] * 2]))
    torch.testing.assert_close(confidence, logits.softmax(1)[0].max(0).values)


def test_a_config_in_the_checkpoint_is_enough(run):
    config = run / "tiny.py"
    content = torch.load(run / "latest.pth", weights_only=True)
    content["meta"]["config"] = config.read_text()
    torch.save(content, run / "latest.pth")
    config.unlink()
    assert results_of(find_source(str(run)), device=CPU).per_image.shape == (5, 3, 3)


def test_the_best_checkpoint_is_taken(tmp_path):
    for name in ("best_mIoU_iter_200.pth", "best_mIoU_iter_1000.pth", "iter_1200.pth"):
        (tmp_path / name).write_bytes(b"")
    assert best_checkpoint(str(tmp_path)) == str(tmp_path / "best_mIoU_iter_1000.pth")


def test_two_runs_on_one_page(run, data, tmp_path):
    other = write_run(tmp_path / "other", data, test_cfg=None)
    results = [results_of(find_source(str(path)), device=CPU) for path in (run, other)]
    out = write_report(results, str(tmp_path / "two.html"), rounds=50)
    text = Path(out).read_text(encoding="utf-8")
    assert "No difference can be told from these images" in text and 'id="pair-0-1"' in text


def test_only_some_thumbnails_of_many_images_are_kept(monkeypatch):
    from tests.helpers_report import drawn_results

    monkeypatch.setattr(report_evaluation, "KEPT", 3)
    results = drawn_results(images=20, rate=0.9)
    assert sorted(results.thumbnails) == [0, 1, 2, 17, 18, 19]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nothing", "does not exist; give the work dir of a run"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "holds no run: no checkpoint"),
        (lambda p: _written(p / "x.json", "[1, 2]"), "is no file of scores"),
        (lambda p: _written(p / "x.txt", "?"), "is no run: give its work dir, or results"),
        (lambda p: _written(p / "x.npz", "?"), "is no results file of tools/report.py"),
    ],
)
def test_mistakes_of_the_path(tmp_path, make, message):
    with pytest.raises(UserError, match=message):
        results_of(find_source(str(make(tmp_path))), device=CPU)


def test_mistakes_of_the_run(run, tmp_path):
    (run / "latest.pth").unlink()
    with pytest.raises(UserError, match="holds no checkpoint to evaluate; give one with --checkpoint"):
        results_of(find_source(str(run)), device=CPU)
    with pytest.raises(UserError, match="checkpoint .*nothing.pth does not exist"):
        results_of(find_source(str(run), checkpoint=str(tmp_path / "nothing.pth")), device=CPU)
    np.savez(tmp_path / "maps.npz", np.zeros((48, 64), np.uint8))
    with pytest.raises(UserError, match="there are 1 label maps for the 5 images"):
        results_of(find_source(str(tmp_path / "maps.npz"), config=str(run / "tiny.py")), device=CPU)
    with pytest.raises(UserError, match="holds no label maps"):
        results_of(find_source(_written(tmp_path / "maps.pkl", "?"), config=str(run / "tiny.py")), device=CPU)


def test_names_that_are_equal_are_numbered():
    assert report._distinct(["a", "b", "a"]) == ["a (1)", "b", "a (2)"]


def _written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_config_in_a_checkpoint_is_read_and_not_run(run, tmp_path):
    path = next(run.glob("*.pth"))
    checkpoint = torch.load(path, weights_only=True)
    for config in run.glob("*.py"):
        config.unlink()
    marker = tmp_path / "ran"
    checkpoint["meta"]["config"] = f"open({str(marker)!r}, 'w')\nmodel = dict(type='EncoderDecoder')"
    torch.save(checkpoint, path)
    with pytest.raises(UserError, match="may only hold values, and this is a program"):
        results_of(find_source(str(run)), device=torch.device("cpu"))
    assert not marker.exists()
