"""tools/get_flops*.py, get_network_summary.py and benchmark.py as users call them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmseg.apis.cost import model_section
from mmseg.models import build_segmentor
from tests.helpers_run import run_tool_here as run
from tests.helpers_run import tiny_config, tiny_model, write_config

REPO = Path(__file__).resolve().parents[2]
TABLE = json.loads((REPO / "tests" / "data" / "recorded" / "flops.json").read_text())
COUNTERS = ("get_flops_fvscore", "get_flops", "get_flops_counter", "get_network_summary")
B0 = REPO / "configs" / "segformer" / "segformer_mit-b0_8x1_1024x1024_160k_kitti.py"


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path / "tiny.py", tiny_config(tmp_path))


def printed(capsys, monkeypatch, tool: str, *args: object) -> str:
    run(tool, *args, monkeypatch=monkeypatch)
    return capsys.readouterr().out


def test_fvscore_prints_the_total_of_the_results_table(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "get_flops_fvscore", B0, "--shape", 375, 1242)
    lines = out.splitlines()
    assert lines[0].startswith("input: (3, 375, 1242), H x W = 375 x 1242")
    assert "FLOPs: 15.579 G" in lines and "Params: 3.720 M" in lines
    assert re.search(r"^\| decode_head\.fusion_conv +\| 0\.263M +\| 7\.678G", out, re.MULTILINE)
    assert "fvcore counts a multiply-add as one FLOP" in out
    assert "Not counted by fvcore (operator, calls): add 16, gelu 8." in out
    assert re.search(r"flop_counter gives 30\.667 G = 2 x 15\.334 G\. .*15\.334 G: they agree", out)
    assert "As it runs (model.exact=False): 10.436 G, 67.0 % of the above." in out


def test_fvscore_names_what_only_training_uses_and_the_windows_of_a_test(config, capsys, monkeypatch):
    test_cfg = 'model.test_cfg={"mode": "slide", "crop_size": (64, 64), "stride": (32, 32)}'
    head = '{"type": "FCNHead", "in_channels": 32, "in_index": 2, "channels": 8, "num_classes": 3}'
    args = ("--shape", 64, 96, "--cfg-options", test_cfg, f"model.auxiliary_head={head}")
    out = printed(capsys, monkeypatch, "get_flops_fvscore", config, *args)
    assert re.search(r"^Parameters that only training uses: auxiliary_head 0\.00\d M\.$", out, re.MULTILINE)
    assert re.search(
        r"^A test of this image in windows of 64x64 \(test_cfg\): 0\.\d+ G\.$", out, re.MULTILINE
    )


def test_one_number_is_a_square(config, capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "get_flops_fvscore", config, "--shape", 64)
    assert "H x W = 64 x 64" in out


def test_the_default_shape_is_printed(config, capsys, monkeypatch):
    assert "Input shape: (3, 1024, 2048)" in printed(capsys, monkeypatch, "get_flops", config)


def test_get_flops_prints_the_historic_frame(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "get_flops", B0, "--shape", 375, 1242)
    frame = ["=" * 30, "Input shape: (3, 375, 1242)", "Flops: 15.58 GFLOPs", "Params: 3.72 M", "=" * 30]
    assert out.splitlines()[:5] == frame


def test_get_flops_counter_prints_the_model_with_its_costs(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "get_flops_counter", B0, "--shape", 375, 1242)
    assert "  3.720 M, 100.000% Params, 15.579 GMac, 100.000% MACs" in out.splitlines()
    assert "      (conv): Conv2d(0.262 M, 7.047% Params, 7.664 GMac, 49.190% MACs, 1024, 256" in out
    assert re.search(r"^Computational complexity: +15\.579 GMac$", out, re.MULTILINE)
    assert re.search(r"^Number of parameters: +3\.720 M$", out, re.MULTILINE)


def test_network_summary_lists_layers_with_their_sizes(config, capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "get_network_summary", config, "--shape", 64, 96, "--max-depth", 2)
    params = sum(p.numel() for p in build_segmentor(tiny_model()).parameters())
    assert f"Total params: {params:,}" in out
    assert re.search(r"MixVisionTransformer: 1-1 +\[1, 3, 64, 96\]", out)
    assert re.search(r"Conv2d: 2-\d+ +\[1, 16, 16, 24\] +\[1, 3, 16, 24\]", out)
    assert "3-1" not in out


def test_benchmark_prints_latency_throughput_and_memory(config, tmp_path, capsys, monkeypatch):
    args = ("--shape", 64, 96, "--repeat", 3, "--warmup", 1, "--batch-size", 2, "--device", "cpu")
    out = printed(capsys, monkeypatch, "benchmark", config, *args)
    assert "random weights" in out and "2 x 64x96, float32" in out
    latency = re.search(
        r"latency: +([\d.]+) ms \(median of 3 runs; 10 % to 90 %: ([\d.]+) to ([\d.]+) ms\)", out
    )
    median, low, high = map(float, latency.groups())
    assert 0 < low <= median <= high
    throughput = float(re.search(r"throughput: +([\d.]+) images/s", out)[1])
    assert throughput == pytest.approx(2000 / median, rel=0.02)
    assert 50 < int(re.search(r"peak memory: (\d+) MiB of the whole process", out)[1]) < 100_000

    checkpoint = tmp_path / "weights.pth"
    torch.save(build_segmentor(model_section(str(config))).state_dict(), checkpoint)
    out = printed(capsys, monkeypatch, "benchmark", config, checkpoint, *args, "--bf16")
    assert f"{checkpoint}\n" in out and "random" not in out and "bfloat16" in out


@pytest.mark.parametrize("tool", [*COUNTERS, "benchmark"])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["CONFIG", "--shape", "0", "5"], "--shape is H W or one number for both, in pixels, not 0 5"),
        (["CONFIG", "--shape", "1", "2", "3"], "--shape is H W or one number for both, in pixels, not 1 2 3"),
        (["CONFIG", "--shape", "16"], "the image is too small for MixVisionTransformer"),
        (["no_such.py"], "config file no_such.py does not exist"),
        (["CONFIG", "--cfg-options", "model.backbone.type=Mit"], "unknown backbone `Mit`"),
        (["CONFIG", "--cfg-options", "model"], "--cfg-options: `model` is not of the form key=value"),
    ],
    ids=["zero", "three", "small", "config", "backbone", "option"],
)
def test_mistakes_are_one_line(tool, args, message, config, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(tool, *(config if a == "CONFIG" else a for a in args), monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {message}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--repeat", "0"], "--repeat 0 must be 1 or more"),
        (["--warmup", "-1"], "--warmup -1 must be 0 or more"),
        (["--batch-size", "0"], "--batch-size 0 must be 1 or more"),
        (["--device", "toaster"], "--device toaster cannot be used"),
        (["--device", "cuda:99"], "--device cuda:99 cannot be used"),
        (["no_such.pth"], "no_such.pth"),
    ],
    ids=["repeat", "warmup", "batch", "device", "index", "checkpoint"],
)
def test_mistakes_of_a_benchmark_are_one_line(args, message, config, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("benchmark", config, *args, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


def test_a_config_without_a_model_is_a_mistake(tmp_path, monkeypatch, capsys):
    path = tmp_path / "empty.py"
    path.write_text("log_level = 'INFO'\n")
    with pytest.raises(SystemExit):
        run("get_flops", path, monkeypatch=monkeypatch)
    assert capsys.readouterr().err == f"error: {path}: the config has no `model`\n"


def test_a_config_of_a_model_alone_is_enough(tmp_path, monkeypatch, capsys):
    path = tmp_path / "model.py"
    path.write_text(f"model = {tiny_model()}\n")
    assert "Params: 0.09 M" in printed(capsys, monkeypatch, "get_flops", path, "--shape", 64)


@pytest.mark.parametrize("tool", [*COUNTERS, "benchmark"])
def test_help_answers_without_torch(tool):
    code = "import sys; sys.argv = ['x', '--help']\nimport runpy\n"
    code += f"try:\n    runpy.run_path('tools/{tool}.py', run_name='__main__')\n"
    code += "except SystemExit:\n    assert 'torch' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--shape" in done.stdout and "--cfg-options" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("row", TABLE, ids=lambda row: Path(row["config"]).stem)
def test_every_model_of_the_results_table_within_30_seconds(row):
    command = [sys.executable, "tools/get_flops_fvscore.py", row["config"], "--shape", *map(str, row["hw"])]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - start < 30
    assert f"FLOPs: {row['fvcore_G']:.3f} G" in done.stdout.splitlines()
    assert f"Params: {row['params_M']:.3f} M" in done.stdout.splitlines()
    assert "they agree" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("row", TABLE, ids=lambda row: Path(row["config"]).stem)
def test_the_other_counters_take_every_model_too(row, capsys, monkeypatch):
    args = (REPO / row["config"], "--shape", *row["hw"])
    frame = printed(capsys, monkeypatch, "get_flops", *args)
    assert float(re.search(r"Flops: ([\d.]+) GFLOPs", frame)[1]) == pytest.approx(row["fvcore_G"], abs=0.006)
    assert float(re.search(r"Params: ([\d.]+) M", frame)[1]) == pytest.approx(row["params_M"], abs=0.006)
    tree = printed(capsys, monkeypatch, "get_flops_counter", *args).splitlines()
    assert tree[2].strip().startswith(f"{row['params_M']:.3f} M, 100.000% Params, {row['fvcore_G']:.3f} GMac")
    summary = printed(capsys, monkeypatch, "get_network_summary", *args)
    total = int(re.search(r"Total params: ([\d,]+)", summary)[1].replace(",", ""))
    assert f"{total / 1e6:.3f}" == f"{row['params_M']:.3f}"
