"""tools/verify.py: a score holds in a fresh process, and not after one weight, image or value changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmseg.models import build_segmentor
from tests.helpers_run import REPO, run_tool_here, tiny_config, tiny_model, write_config, write_dataset
from tests.helpers_weights import recorded_weights


def fresh(folder: Path, tool: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a tool in a process of its own, with ``folder`` as working directory."""
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    env |= {"PYTHONPATH": str(REPO), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(REPO / "tools" / f"{tool}.py"), *map(str, args)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    """A folder with data, config, checkpoint, and their scores ``eval.json``; do not write to it."""
    folder = tmp_path_factory.mktemp("scored")
    write_dataset(folder / "data", train=1, val=4)
    cfg = tiny_config(Path("data"), model=tiny_model() | dict(test_cfg=dict(mode="whole")))
    write_config(folder / "c.py", cfg)
    state = build_segmentor(tiny_model()).state_dict()
    torch.save(dict(state_dict=recorded_weights(state), meta={}), folder / "x.pth")
    done = fresh(folder, "test", "c.py", "x.pth", "--eval", "mIoU", "--work-dir", "w")
    assert done.returncode == 0, done.stderr
    (scores,) = (folder / "w").glob("eval_*.json")
    shutil.move(scores, folder / "eval.json")
    return folder


@pytest.fixture
def folder(scored, tmp_path, monkeypatch) -> Path:
    """A copy of ``scored`` to break, as the working directory."""
    shutil.copytree(scored, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def verify(folder, monkeypatch, capsys):
    """Call ``verify(*arguments)``: status and what was printed."""

    def call(*args: object) -> tuple[int, str]:
        capsys.readouterr()
        status = 0
        try:
            run_tool_here("verify", "eval.json", *args, monkeypatch=monkeypatch)
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr()
        return status, said.out + (said.err if status == 2 else "")

    return call


def one_weight(folder: Path) -> str:
    saved = torch.load(folder / "x.pth", weights_only=True)
    saved["state_dict"]["decode_head.conv_seg.bias"][1] += 0.25
    torch.save(saved, folder / "x.pth")
    return "weights changed: decode_head.conv_seg.bias (1 of 124 tensors)"


def one_image(folder: Path) -> str:
    path = folder / "data/img_dir/val/002.png"
    image = cv2.imread(str(path))
    image[7, 9, 1] ^= 1
    cv2.imwrite(str(path), image)
    return "images of data/img_dir/val changed: 002.png (1)"


def one_mask(folder: Path) -> str:
    path = folder / "data/ann_dir/val/001.png"
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask[20, 20] = (mask[20, 20] + 1) % 3
    cv2.imwrite(str(path), mask)
    return "masks of data/ann_dir/val changed: 001.png (1)"


def one_value(folder: Path) -> str:
    path = folder / "c.py"
    text = path.read_text()
    assert text.count("'whole'") == 1 or text.count('"whole"') == 1
    path.write_text(text + "\nmodel['test_cfg'] = dict(mode='slide', crop_size=(32, 32), stride=(24, 24))\n")
    return "config: model.test_cfg.mode was 'whole', is 'slide'"


CHANGES = (one_weight, one_image, one_mask, one_value)


def test_holds_in_a_fresh_process(folder) -> None:
    done = fresh(folder, "verify", "eval.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unchanged: 124 tensors" in done.stdout and "8 files (contents)" in done.stdout
    assert "all 9 counts of" in done.stdout and done.stdout.endswith("eval.json holds\n")
    assert "note:" not in done.stdout  # the same machine: no tolerance


@pytest.mark.parametrize("change", CHANGES)
def test_fails_on_one_change_and_names_it(folder, verify, change) -> None:
    told = change(folder)
    status, said = verify()
    assert status == 1
    assert f"changed: {told}" in said and said.endswith("eval.json does not hold\n")
    # Nothing else is blamed: the other lines are the score, and more values of the same section.
    lines = [line for line in said.splitlines() if line.startswith("changed: ")]
    assert all("model.test_cfg" in line or told in line or "the scores differ" in line for line in lines)
    status, said = verify("--hashes-only")
    assert status == 1 and told in said and "the scores" not in said


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_fails_on_one_change_in_a_fresh_process(folder, change) -> None:
    assert fresh(folder, "verify", "eval.json").returncode == 0
    told = change(folder)
    done = fresh(folder, "verify", "eval.json")
    assert done.returncode == 1 and told in done.stdout and "does not hold" in done.stdout


def test_hashes_alone(verify) -> None:
    status, said = verify("--hashes-only")
    assert status == 0 and "as far as hashes tell; nothing was evaluated" in said


def test_the_same_weights_in_another_container_hold(folder, verify) -> None:
    state = torch.load("x.pth", weights_only=True)["state_dict"]
    save_file({k: v.contiguous() for k, v in state.items()}, "x.safetensors")
    torch.save({f"module.{k}": v for k, v in state.items()}, "bare.pth")
    for path in ("x.safetensors", "bare.pth"):
        status, said = verify(path)
        assert status == 0, said


def test_moved_data_and_config_hold_where_they_are_named(folder, verify) -> None:
    os.rename("data", "elsewhere")
    os.rename("c.py", "other.py")
    status, said = verify("--config", "other.py", "--data-root", "elsewhere")
    assert status == 0, said
    content = json.loads(Path("eval.json").read_text())
    content["receipt"]["config_file"] = "/none/c.py"
    Path("eval.json").write_text(json.dumps(content))
    status, said = verify("--data-root", "elsewhere")
    assert status == 2 and "the config that eval.json names (c.py) is not here; say with --config" in said


def edit(folder: Path, *keys: str, value: object) -> None:
    content = json.loads((folder / "eval.json").read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (folder / "eval.json").write_text(json.dumps(content))


def test_an_edited_score_does_not_hold(folder, verify) -> None:
    edit(folder, "metric", "mIoU", value=0.99)
    status, said = verify()
    assert status == 1 and "the scores of the file are not those of its receipt" in said
    edit(folder, "receipt", "scores", "mIoU", value=0.99)
    status, said = verify()
    assert status == 1 and "mIoU is given as 0.99, but follows from the receipt's own counts as" in said


def test_other_versions_are_told_and_scores_then_have_a_tolerance(folder, verify) -> None:
    edit(folder, "receipt", "versions", "torch", value="1.0")
    status, said = verify()
    assert status == 0, said
    assert "note: torch: was 1.0, is" in said and "compared with a tolerance" in said


def test_a_missing_image_is_named(folder, verify) -> None:
    os.remove("data/img_dir/val/003.png")
    os.remove("data/ann_dir/val/003.png")
    status, said = verify()
    assert status == 1 and "are no longer in the list: 003.png (1)" in said


def test_an_image_that_became_unreadable_does_not_hold(folder, verify) -> None:
    Path("data/img_dir/val/003.png").write_bytes(b"no image")
    status, said = verify()
    assert status == 1 and "changed: 003.png" in said and "cannot be evaluated any more" in said


def test_receipts_without_contents_and_without_receipt(folder, monkeypatch, verify) -> None:
    for kind in ("names", "none"):
        run_tool_here(
            "test", "c.py", "x.pth", "--eval", "mIoU", "--work-dir", kind, "--receipt", kind,
            monkeypatch=monkeypatch,
        )  # fmt: skip
        (path,) = Path(kind).glob("eval_*.json")
        shutil.copy(path, "eval.json")
        if kind == "names":
            status, said = verify()
            assert status == 0 and "8 files (names only)" in said
            one_image(folder)
            assert verify("--hashes-only")[0] == 0  # which is what `names` gives up
    assert "receipt" not in json.loads(Path("eval.json").read_text())
    status, said = verify()
    assert status == 2 and "has no receipt" in said


def test_options_of_the_command_line_belong_to_the_score(folder, monkeypatch, verify) -> None:
    run_tool_here(
        "test", "c.py", "x.pth", "--eval", "mIoU", "--work-dir", "w2", "--aug-test", "--cfg-options",
        "data.test.pipeline.1.img_scale=(96,72)", monkeypatch=monkeypatch,
    )  # fmt: skip
    (path,) = Path("w2").glob("eval_*.json")
    shutil.copy(path, "eval.json")
    receipt = json.loads(path.read_text())["receipt"]
    assert receipt["aug_test"] and "96" in receipt["config_options"]
    status, said = verify()
    assert status == 0, said


def test_what_a_receipt_holds(folder) -> None:
    content = json.loads(Path("eval.json").read_text())
    receipt = content["receipt"]
    assert content["metric"] == receipt["scores"] and content["config"] == "c.py"
    part = receipt["data"]["parts"][0]
    assert list(part["images"]) == [f"{i:03d}.png" for i in range(4)] == list(part["masks"])
    assert set(receipt["versions"]) >= {"mmseg", "torch", "numpy", "opencv", "python"}
    machine = receipt["machine"]
    assert machine["device"] == "cpu" and machine["precision"] == "float32" and machine["world_size"] == 1
    assert "test.py c.py x.pth --eval mIoU" in receipt["command"]
    confusion = np.array(receipt["counts"]["confusion"])
    assert receipt["scores"]["aAcc"] == pytest.approx(confusion.trace() / confusion.sum())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--device", "cuda:9"), "--device cuda:9 cannot be used"),
        (("none.pth",), "none.pth"),
        (("--data-root", "nowhere"), "--data-root nowhere is no folder"),
        (("--config", "none.py"), "config file none.py does not exist"),
    ],
)
def test_what_cannot_be_checked_ends_with_status_2(verify, args, message) -> None:
    status, said = verify(*args)
    assert status == 2 and message in said and said.strip().splitlines()[-1].startswith("error: ")


def test_joined_data_sets(folder, monkeypatch, verify) -> None:
    cfg = tiny_config(Path("data"))
    cfg["data"]["test"] = [cfg["data"]["test"], {**cfg["data"]["test"], "img_dir": "img_dir/train"}]
    cfg["data"]["test"][1]["ann_dir"] = "ann_dir/train"
    write_config(folder / "c.py", cfg)
    run_tool_here("test", "c.py", "x.pth", "--eval", "mIoU", "--work-dir", "w2", monkeypatch=monkeypatch)
    (path,) = Path("w2").glob("eval_*.json")
    shutil.copy(path, "eval.json")
    os.rename("data", "elsewhere")
    assert verify("--data-root", "elsewhere")[0] == 0
    path = Path("elsewhere/img_dir/train/000.png")
    path.write_bytes(path.read_bytes() + b" ")
    status, said = verify("--data-root", "elsewhere", "--hashes-only")
    assert status == 1 and "images of elsewhere/img_dir/train changed: 000.png (1)" in said
