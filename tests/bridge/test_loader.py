"""The notebook bridge: what each method returns, writes and shows, in a notebook and outside of one."""

from __future__ import annotations

import ast
import logging
import math
import os
from pathlib import Path
from typing import Any

import cv2
import matplotlib.figure
import numpy as np
import pytest
import torch

from bridge import loader
from bridge.loader import GlobalBridgeController, MMSegConfig
from mmseg.apis import inference_segmentor, init_segmentor
from mmseg.config import Config
from tests.conftest import ROOT
from tests.helpers_bridge import EVALUATES, SIZE, Shown, write_checkpoint, write_project
from tests.helpers_log import Lines


def test_the_calls_of_a_notebook_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    CONFIG = str(write_project(tmp_path, evaluation=EVALUATES))
    CKPT = str(write_checkpoint(tmp_path / "tiny.py", tmp_path / "b0.pth"))
    OUT, IMAGES = str(tmp_path / "out"), str(tmp_path / "scenes/img_dir/val")
    LOG = str(tmp_path / "notes.log")
    Path(LOG).write_text("a line of a log\n")

    from bridge.loader import GlobalBridgeController

    bridge = GlobalBridgeController()
    c = bridge.MMSegConfig(model_name='b0', config_file=CONFIG, checkpoint_file=CKPT)  # fmt: skip
    bridge.summarize_network(c.config_file, (375, 1242), transformer=True)
    bridge.train_network(c.config_file)
    bridge.evaluation_network(c.config_file, work_dir=OUT, load_from=CKPT, multi_scale=True)
    bridge.show_results(OUT, image_dir=IMAGES)
    bridge.printer(LOG)

    printed = capsys.readouterr().out
    assert "0.567 GFLOPs" in printed and "the training is finished: mIoU" in printed
    assert "| middle |" in printed and "a line of a log" in printed
    assert (tmp_path / "work_dirs/tiny/latest.pth").is_file()
    names = [f"{i:03d}.png" for i in range(5)]
    assert sorted(p.name for p in Path(OUT).glob("*.png")) == names
    assert sorted(p.name for p in Path(OUT, "gray").iterdir()) == names


# Configs and weights -----------------------------------------------------------------------------


def test_a_model_has_what_it_was_given(inside: Path) -> None:
    bridge = GlobalBridgeController()
    c = bridge.MMSegConfig("b0", "tiny.py", work_dir=Path("run"), checkpoint_file="later.pth")
    assert (c.model_name, c.config_file, c.work_dir) == ("b0", "tiny.py", "run")
    assert (c.checkpoint_file, c.checkpoint_url) == ("later.pth", None)
    assert os.fspath(c) == "tiny.py"
    assert repr(bridge) == "GlobalBridgeController(b0)"


def test_the_work_dir_is_the_one_of_the_command_line(inside: Path) -> None:
    bridge = GlobalBridgeController()
    assert bridge.MMSegConfig("b0", "tiny.py").work_dir == os.path.join("./work_dirs", "tiny")
    Path("own.py").write_text('_base_ = "tiny.py"\nwork_dir = "elsewhere"\n')
    assert bridge.MMSegConfig("own", "own.py").work_dir == "elsewhere"


def test_a_config_that_is_not_there_is_refused_at_once(inside: Path) -> None:
    with pytest.raises(ValueError, match="missing.py"):
        GlobalBridgeController().MMSegConfig("b0", "missing.py")


def test_a_config_in_memory_is_as_good_as_a_file(inside: Path) -> None:
    bridge = GlobalBridgeController()
    cfg = Config.fromfile("tiny.py")
    cfg.model.decode_head.channels = 32
    found = bridge.summarize_network(cfg, (64, 96))
    assert found.name == "tiny"
    assert found.params > bridge.summarize_network("tiny.py", (64, 96)).params
    with pytest.raises(ValueError, match="a config is a path or what Config.fromfile gives, not a dict"):
        bridge.get_network({"model": {}})


# The network -------------------------------------------------------------------------------------


def test_a_network_takes_images_and_gives_logits(inside: Path) -> None:
    network = GlobalBridgeController().get_network("tiny.py")
    assert not network.training
    image = torch.zeros(2, 3, *SIZE, device=next(network.parameters()).device)
    assert network(image).shape == (2, 3, *SIZE)
    assert torch.equal(network(image), network.forward_dummy(image))


def test_parts_add_up_to_the_totals(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = GlobalBridgeController().summarize_network("tiny.py", (375, 1242), transformer=True, viz=True)
    assert sum(macs for macs, _ in found.parts.values()) == found.macs
    assert sum(params for _, params in found.parts.values()) == found.params == 88_819
    assert {"backbone.layers.0", "decode_head.convs.3", "decode_head.conv_seg"} <= set(found.parts)
    assert "backbone.layers.0" in found.table and found.image_shape == (375, 1242)
    assert cv2.imread(found.charts["cost"]).shape[2] == 3
    assert found.charts["cost"] in capsys.readouterr().out


def test_figures_of_the_table_of_models() -> None:
    configs = {
        "B0": "segformer/segformer_mit-b0_kitti_368x368_10k.py",
        "Baseline": "basicNet/basicnet_kitti_512x375_180e.py",
    }
    bridge = GlobalBridgeController()
    found = bridge.compare_networks({k: ROOT / "configs" / v for k, v in configs.items()}, (375, 1242))
    assert f"{found['B0'].macs / 1e9:.3f}" == "15.579"
    assert f"{found['Baseline'].macs / 1e9:.3f}" == "67.003"
    for summary in found.values():
        assert sum(params for _, params in summary.parts.values()) == summary.params


def test_layers_with_their_output_sizes(inside: Path) -> None:
    found = GlobalBridgeController().summarize_network("tiny.py", (64, 96))
    assert "[1, 3, 64, 96]" in found.table and "MixVisionTransformer" in found.table
    assert found.charts == {}


@pytest.mark.parametrize("shape", [(0, 5), "375", (1, 2, 3, 4), (1.5, 2), ()])
def test_a_shape_that_is_none(inside: Path, shape: Any) -> None:
    with pytest.raises(ValueError, match="image_shape is"):
        GlobalBridgeController().summarize_network("tiny.py", shape)


@pytest.mark.parametrize("shape", [64, (64,), (64, 64), (3, 64, 64)])
def test_shapes_of_one_image(inside: Path, shape: Any) -> None:
    assert GlobalBridgeController().summarize_network("tiny.py", shape).image_shape == (64, 64)


def test_a_shape_that_the_network_does_not_take(inside: Path) -> None:
    for transformer in (False, True):
        with pytest.raises(ValueError, match="too small|cannot process"):
            GlobalBridgeController().summarize_network("tiny.py", (8, 8), transformer)


# The data ----------------------------------------------------------------------------------------


def test_classes_and_their_weights(inside: Path, notebook: Shown) -> None:
    bridge = GlobalBridgeController()
    c = bridge.MMSegConfig("b0", "tiny.py", work_dir="looked")
    found = bridge.class_distribution(c, split="val")
    masks = [cv2.imread(str(p), -1) for p in sorted(Path("scenes/ann_dir/val").iterdir())]
    assert found.pixels.tolist() == [sum(int((m == k).sum()) for m in masks) for k in range(3)]
    raw = [1 / math.log1p(p) for p in found.pixels]
    assert np.allclose(found.weights, [3 * r / sum(raw) for r in raw], atol=1e-9)
    assert found.charts == {"classes": "looked/classes_val.png"}
    assert notebook.things == [("Image", (), {"filename": "looked/classes_val.png"})]
    assert "middle" in found.table and repr(found).startswith("<ClassDistribution: 3 classes")


def test_samples_are_shown(inside: Path, notebook: Shown) -> None:
    bridge = GlobalBridgeController()
    c = bridge.MMSegConfig("b0", "tiny.py", work_dir="looked")
    (sheet,) = bridge.show_data(c, split="train", number=3)
    assert Path(sheet).is_file() and sheet.startswith("looked/browse")
    assert notebook.things == [("Image", (), {"filename": sheet})]


# The run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    bridge = GlobalBridgeController()
    c = bridge.MMSegConfig("b0", project / "tiny.py", work_dir=tmp_path_factory.mktemp("run"))
    return bridge, c, bridge.train_network(c.config_file)


def test_training_gives_scores_curves_and_files(trained: Any) -> None:
    _, c, found = trained
    assert found.work_dir == c.work_dir
    assert found.checkpoint == os.path.join(c.work_dir, "latest.pth")
    assert os.path.basename(found.best) == "best_mIoU_iter_6.pth"
    assert [r["iter"] for r in found.curves["train"]] == [2, 4, 6]
    assert {"mIoU", "aAcc", "IoU.left"} <= set(found.scores)
    assert not {"lr", "iter", "epoch", "learning_rate"} & set(found.scores)
    for path in (found.checkpoint, found.best, found.log, found.charts["curves"]):
        assert os.path.isfile(path)
    log = Path(found.log).read_text()
    assert "config:\n" in log and "environment:\n" in log  # the console is spared these


def test_the_log_of_a_run_ends_with_it(trained: Any, inside: Path, tmp_path: Path) -> None:
    bridge, _, found = trained
    before = Path(found.log).read_text()
    bridge.evaluation_network("tiny.py", tmp_path, load_from="tiny.pth")
    assert Path(found.log).read_text() == before


def new_console() -> None:
    """Let the toolbox make its console anew: pytest's own handlers keep it from that."""
    logging.getLogger("mmseg").handlers.clear()


def test_the_console_is_spared_the_config(
    inside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_console()
    bridge = GlobalBridgeController()
    bridge.train_network(bridge.MMSegConfig("b0", "tiny.py", work_dir=tmp_path))
    captured = capsys.readouterr()
    assert "Iter [6/6]" in captured.err
    assert "config:\n" not in captured.err and "environment:\n" not in captured.err


def test_log_lines_of_a_notebook_are_no_errors(
    inside: Path, tmp_path: Path, notebook: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    new_console()
    bridge = GlobalBridgeController()
    found = bridge.train_network(bridge.MMSegConfig("b0", "tiny.py", work_dir=tmp_path))
    captured = capsys.readouterr()
    assert "Iter [6/6]" in captured.out and captured.err == ""
    assert notebook.things == [("Image", (), {"filename": found.charts["curves"]})]


def test_training_starts_from_load_from(inside: Path, tmp_path: Path) -> None:
    heard = Lines()
    bridge = GlobalBridgeController()
    bridge.train_network(bridge.MMSegConfig("b0", "tiny.py", work_dir=tmp_path), load_from=Path("tiny.pth"))
    assert "loaded 124 of 124 tensors from tiny.pth" in heard.messages


def test_a_mistake_in_training_leaves_no_log_open(inside: Path, tmp_path: Path) -> None:
    bridge = GlobalBridgeController()
    with pytest.raises(ValueError, match="nowhere.pth"):
        bridge.train_network(bridge.MMSegConfig("b0", "tiny.py", work_dir=tmp_path), load_from="nowhere.pth")
    assert not [h for h in logging.getLogger("mmseg").handlers if isinstance(h, logging.FileHandler)]


# Evaluation --------------------------------------------------------------------------------------


def test_evaluation_scores_what_it_writes(inside: Path, tmp_path: Path, notebook: Shown) -> None:
    out = tmp_path / "out"
    found = GlobalBridgeController().evaluation_network("tiny.py", out, load_from="tiny.pth")
    confusion = np.zeros((3, 3), np.int64)
    for path in sorted(Path("scenes/ann_dir/val").iterdir()):
        truth, guess = cv2.imread(str(path), -1), cv2.imread(str(out / "gray" / path.name), -1)
        valid = truth != 255
        np.add.at(confusion, (truth[valid], guess[valid]), 1)
    assert np.array_equal(found.confusion, confusion)
    iou = np.diag(confusion) / (confusion.sum(0) + confusion.sum(1) - np.diag(confusion))
    assert np.allclose(list(found.per_class().values()), iou, equal_nan=True)
    assert list(found.per_class()) == ["left", "middle", "right"]
    assert found.names == [f"{i:03d}.png" for i in range(5)] and not found.multi_scale
    assert f"{100 * found.scores['mIoU']:.2f}" in found.table
    shown = [kwargs["filename"] for _, _, kwargs in notebook.things]
    assert shown == [str(out / "charts/iou.png"), str(out / "charts/confusion.png")]
    assert all(os.path.isfile(path) for path in shown)


def test_evaluation_agrees_with_inference(inside: Path, tmp_path: Path) -> None:
    GlobalBridgeController().evaluation_network("tiny.py", tmp_path, load_from="tiny.pth")
    model = init_segmentor("tiny.py", "tiny.pth")
    (label,) = inference_segmentor(model, "scenes/img_dir/val/002.png")
    assert np.array_equal(cv2.imread(str(tmp_path / "gray/002.png"), -1), label)


def test_several_scales_find_the_test_transform_by_its_type(inside: Path, tmp_path: Path) -> None:
    bridge = GlobalBridgeController()
    usual = bridge.evaluation_network("tiny.py", tmp_path / "a", load_from="tiny.pth", multi_scale=True)
    single = bridge.evaluation_network("tiny.py", tmp_path / "b", load_from="tiny.pth")
    Path("moved.py").write_text(
        '_base_ = "tiny.py"\n'
        'same = dict(type="Pad", size_divisor=1)\n'
        'step = dict(type="Compose", transforms=[same])\n'
        "test = {{_base_.data.test}}\n"
        'test["pipeline"] = [test["pipeline"][0], same, test["pipeline"][1]]\n'
        "data = dict(test=test)\n"
    )
    moved = bridge.evaluation_network("moved.py", tmp_path / "c", load_from="tiny.pth", multi_scale=True)
    assert not np.array_equal(usual.confusion, single.confusion)
    assert np.array_equal(moved.confusion, usual.confusion)
    assert usual.multi_scale and "six scales" in repr(usual)


def test_opacity_of_the_overlays(inside: Path, tmp_path: Path) -> None:
    bridge = GlobalBridgeController()
    bridge.evaluation_network("tiny.py", tmp_path, opacity=1.0, load_from="tiny.pth")
    colours = {tuple(c) for c in cv2.imread(str(tmp_path / "000.png")).reshape(-1, 3).tolist()}
    assert colours <= {(0, 0, 200), (0, 200, 0), (200, 0, 0)}
    with pytest.raises(ValueError, match="opacity is 1.5"):
        bridge.evaluation_network("tiny.py", tmp_path, opacity=1.5, load_from="tiny.pth")


def test_images_without_masks_are_predicted(inside: Path, tmp_path: Path) -> None:
    cfg = Config.fromfile("tiny.py")
    cfg.data.test.ann_dir = None
    found = GlobalBridgeController().evaluation_network(cfg, tmp_path, load_from="tiny.pth")
    assert found.scores == {} and found.confusion is None and found.charts == {}
    assert len(list((tmp_path / "gray").iterdir())) == len(found.names) == 5


def test_the_checkpoint_of_the_model_or_of_its_run(trained: Any, inside: Path, tmp_path: Path) -> None:
    bridge, c, run = trained
    assert bridge.evaluation_network(c.config_file, tmp_path).checkpoint == run.best
    own = GlobalBridgeController()
    own.MMSegConfig("b0", "tiny.py", checkpoint_file="tiny.pth")
    assert own.evaluation_network("tiny.py", tmp_path).checkpoint == "tiny.pth"
    Path("other.py").write_text('_base_ = "tiny.py"\n')
    with pytest.raises(ValueError, match="there is no checkpoint to evaluate in ./work_dirs/other"):
        own.evaluation_network("other.py", tmp_path)


# Showing -----------------------------------------------------------------------------------------


@pytest.fixture
def predicted(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of 9 images and their predictions, one of them in a folder, with what stands beside them."""
    images, predictions = tmp_path / "images", tmp_path / "predictions"
    for i in range(9):
        name = f"town/{i:02d}" if i == 8 else f"{i:02d}"
        for folder, ending in ((images, "jpg"), (predictions, "png"), (predictions / "gray", "png")):
            path = folder / f"{name}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((8, 24, 3), 8 * i, np.uint8))
    cv2.imwrite(str(predictions / "curves.png"), np.zeros((8, 8), np.uint8))
    return predictions, images


def titles(figure: matplotlib.figure.Figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes]


def test_a_few_results_or_all(
    predicted: tuple[Path, Path],
    notebook: Shown,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loader, "_ON_A_FIGURE", 5)
    bridge = GlobalBridgeController()
    (few,) = bridge.show_results(predicted[0], image_dir=predicted[1])
    assert titles(few) == ["00", "prediction", "02", "prediction", "04", "prediction", "06", "prediction"]
    assert "4 of 9 predictions; show_all=True" in capsys.readouterr().out
    pages = bridge.show_results(predicted[0], image_dir=predicted[1], show_all=True)
    assert [len(page.axes) for page in pages] == [10, 8]
    assert titles(pages[1])[-2] == "town/08"
    assert "9 of 9 predictions\n" in capsys.readouterr().out
    assert [kind for kind, _, _ in notebook.things] == ["Image"] * 3
    assert all(kwargs["data"][:4] == b"\x89PNG" for _, _, kwargs in notebook.things)


def test_results_that_are_not_there(predicted: tuple[Path, Path], tmp_path: Path) -> None:
    bridge = GlobalBridgeController()
    with pytest.raises(ValueError, match="absent is no folder"):
        bridge.show_results(tmp_path / "absent", image_dir=predicted[1])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="none of the 10 pictures"):
        bridge.show_results(predicted[0], image_dir=tmp_path / "empty")


def test_the_default_images_are_the_contest_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    with pytest.raises(
        ValueError, match="data/kitti-seg-competition/seg_data_processed/img_dir/val is no folder"
    ):
        GlobalBridgeController().show_results("out")


# The rule ----------------------------------------------------------------------------------------


def test_the_bridge_uses_nothing_of_the_package_but_its_apis() -> None:
    imported = set()
    for path in (ROOT / "bridge").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    ours = {name for name in imported if name.partition(".")[0] == "mmseg"}
    assert ours == {"mmseg.apis", "mmseg.apis.notebook"}


def test_a_model_can_be_made_without_the_controller(inside: Path) -> None:
    c = MMSegConfig("b0", "tiny.py", work_dir="run", checkpoint_file="tiny.pth")
    assert GlobalBridgeController().evaluation_network(c, "out").checkpoint == "tiny.pth"
