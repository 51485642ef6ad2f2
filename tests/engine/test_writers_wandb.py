"""Weights & Biases: offline, against a server on this machine, and where it fails."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from mmseg.engine.writers import MMSegWandbWriter, WandbWriter
from mmseg.engine.writers.wandb import RUN_FILE, files_to_upload, init_arguments
from mmseg.utils.logger import get_root_logger
from tests.helpers_run import REPO, tiny_config, write_config, write_dataset
from tests.helpers_wandb import wandb_server
from tests.helpers_writers import evaluation, example, run_info, train_record, val_record

HOOKS = [
    dict(type="TextLoggerHook", by_epoch=False),
    dict(
        type="WandbLoggerHook",
        init_kwargs=dict(project="streets"),
        out_suffix=(".log", ".log.json", ".pth", ".py"),
        commit=False,
    ),
]


def training_files(folder: Path) -> tuple[Path, Path]:
    """Configs of 2 and of 4 iterations that log as the KITTI recipes do."""
    root = write_dataset(folder / "data", train=4, val=3)
    sections = dict(
        log_config=dict(interval=1, hooks=HOOKS), evaluation=dict(interval=2, save_best="mIoU"), seed=1
    )
    short = write_config(folder / "short.py", tiny_config(root, max_iters=2, **sections))
    return short, write_config(folder / "whole.py", tiny_config(root, max_iters=4, **sections))


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a user without a wandb account."""
    home.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_") and k != "NETRC"}
    return {**kept, "HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO), **variables}


def python(*args: object, env: dict[str, str], cwd: Path, timeout: float = 120) -> str:
    """Run python and return what it wrote to both streams."""
    command = [sys.executable, *map(str, args)]
    done = subprocess.run(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def train(config: Path, *args: object, env: dict[str, str], cwd: Path) -> str:
    return python(REPO / "tools" / "train.py", config, *args, env=env, cwd=cwd)


def about_wandb(output: str) -> list[str]:
    """The lines of a tool's output that speak of wandb, without those of the config."""
    named = [line for line in output.splitlines() if re.search("wandb|W&B", line, re.IGNORECASE)]
    return [line for line in named if "WandbLoggerHook" not in line]


# ---------------------------------------------------------------- offline, as `wandb sync` reads it


@pytest.fixture(scope="module")
def synced(tmp_path_factory):
    """A server that ``wandb sync`` has sent an offline run and its resumed part to."""
    folder = tmp_path_factory.mktemp("offline")
    short, whole = training_files(folder)
    env = clean_environment(folder / "home", WANDB_MODE="offline")
    outputs = [
        train(short, "--work-dir", folder / "work", env=env, cwd=folder),
        train(whole, "--work-dir", folder / "work", "--auto-resume", env=env, cwd=folder),
    ]
    parts = sorted((folder / "work" / "wandb").glob("offline-run-*"))
    with wandb_server() as server:
        env = clean_environment(folder / "home", **server.environment())
        reader = "from wandb.cli.cli import cli; cli()"
        for part in parts:
            python("-c", reader, "sync", part, env=env, cwd=folder)
        yield SimpleNamespace(server=server, parts=parts, outputs=outputs, work=folder / "work")


def test_both_parts_of_an_offline_run_are_one_run(synced):
    run = json.loads((synced.work / RUN_FILE).read_text())["id"]
    assert len(synced.parts) == 2 and all(p.name.endswith(run) for p in synced.parts)
    assert set(synced.server.rows) == {run}


def test_the_curves_arrive_at_their_iterations(synced):
    (rows,) = synced.server.rows.values()
    assert [r["_step"] for r in rows] == [1, 2, 3, 4]
    logs = sorted(synced.work.glob("*.log.json"))
    logged = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    losses = {r["iter"]: r["loss"] for r in logged if r.get("mode") == "train"}
    assert [round(r["train/loss"], 5) for r in rows] == [losses[i] for i in (1, 2, 3, 4)]
    assert all(r["learning_rate"] > 0 for r in rows)
    scores = {r["iter"]: r["mIoU"] for r in logged if r.get("mode") == "val"}
    assert [round(rows[i - 1]["val/mIoU"], 4) for i in (2, 4)] == [round(scores[i], 4) for i in (2, 4)]
    assert "val/mIoU" not in rows[0] and "val/mIoU" not in rows[2]


def test_each_evaluation_has_a_table_of_the_classes(synced):
    (rows,) = synced.server.rows.values()
    (run,) = synced.server.rows
    for row in (rows[1], rows[3]):
        table = json.loads(synced.server.files[run, row["val/per_class"]["path"]])
        assert table["columns"] == ["class", "IoU", "Acc"]
        assert [line[0] for line in table["data"]] == ["left", "middle", "right"]
        assert [line[1] for line in table["data"]] == [
            row[f"val/IoU.{n}"] for n in ("left", "middle", "right")
        ]


def test_each_evaluation_shows_the_same_images(synced):
    (rows,) = synced.server.rows.values()
    (run,) = synced.server.rows
    shown = [row["val/examples"] for row in (rows[1], rows[3])]
    assert [e["captions"] for e in shown] == [["000.png", "001.png", "002.png"]] * 2
    for examples in shown:
        for name, masks in zip(examples["filenames"], examples["all_masks"], strict=True):
            assert synced.server.files[run, name][:2] == b"\xff\xd8", "a JPEG picture"
            assert set(masks) == {"prediction", "ground_truth"}
            assert all(synced.server.files[run, m["path"]][:4] == b"\x89PNG" for m in masks.values())
    former, latter = ([synced.server.files[run, n] for n in e["filenames"]] for e in shown)
    assert former == latter


def test_the_config_and_the_best_checkpoint_arrive(synced):
    config = json.loads(synced.server.runs[-1]["config"])
    assert config["optimizer"]["value"]["type"] == "AdamW"
    assert config["runner"]["value"]["max_iters"] == 4
    assert {r["project"] for r in synced.server.runs} == {"streets"}
    (run,) = synced.server.rows
    models = [a for a in synced.server.artifacts if a["artifactCollectionName"] == f"run_{run}_model"]
    best = json.loads(models[-1]["metadata"])
    assert (synced.work / best["file"]).is_file() and best["key"] == "mIoU"
    assert {"best", "latest"} == {a["alias"] for a in models[-1]["aliases"]}
    assert "artifacts" in {a["artifactCollectionName"] for a in synced.server.artifacts}


def test_an_offline_run_says_how_to_upload_it(synced):
    for output, part in zip(synced.outputs, synced.parts, strict=True):
        (line,) = about_wandb(output)
        assert f"wandb sync {part}" in line and "INFO" in line


# ---------------------------------------------------------------- online


@pytest.mark.slow
def test_a_resume_goes_on_with_the_run_on_the_server(tmp_path):
    short, whole = training_files(tmp_path)
    with wandb_server() as server:
        env = clean_environment(tmp_path / "home", **server.environment())
        first = train(short, "--work-dir", tmp_path / "work", env=env, cwd=tmp_path)
        second = train(whole, "--work-dir", tmp_path / "work", "--auto-resume", env=env, cwd=tmp_path)
    ((run, rows),) = server.rows.items()
    assert [r["_step"] for r in rows] == [1, 2, 3, 4]
    for output in (first, second):
        assert "WARNING" not in output and f"{server.url}/someone/streets/runs/{run}" in output


DRIVER = """
import sys, time
import mmseg.engine.writers.wandb as module
from mmseg.engine.writers import WandbWriter
from tests.helpers_wandb import wandb_server
from tests.helpers_writers import evaluation, example, run_info, train_record, val_record
import os

module._BACKLOG_SECONDS = 1
with wandb_server() as server:
    os.environ.update(server.environment())
    writer = WandbWriter(init_kwargs=dict(settings=dict(finish_timeout=1)))
    writer.start(run_info(sys.argv[1]))
    slowest = 0.0
    for i in range(1, 5):
        server.broken = i > 2
        start = time.perf_counter()
        writer.write(train_record(i))
        writer.evaluation(val_record(i), evaluation(), [example()])
        slowest = max(slowest, time.perf_counter() - start)
        time.sleep(0.3)
    start = time.perf_counter()
    writer.close()
    print("slowest", slowest)
    print("close", time.perf_counter() - start)
"""


@pytest.mark.slow
def test_a_server_that_breaks_down_does_not_hold_up_the_loop(tmp_path):
    env = clean_environment(tmp_path / "home")
    output = python("-c", DRIVER, tmp_path, env=env, cwd=tmp_path)
    seconds = {k: float(v) for k, v in re.findall(r"^(slowest|close) ([\d.]+)$", output, re.MULTILINE)}
    assert seconds["slowest"] < 0.5 and seconds["close"] < 15
    assert output.count("WARNING") == 1 and "wandb sync" in output


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_costs_no_minute(tmp_path):
    short, _ = training_files(tmp_path)
    gone = dict(WANDB_BASE_URL="http://127.0.0.1:1", WANDB_API_KEY="0" * 40, WANDB_INIT_TIMEOUT="2")
    start = time.perf_counter()
    output = train(short, env=clean_environment(tmp_path / "home", **gone), cwd=tmp_path)
    assert time.perf_counter() - start < 50
    (line,) = about_wandb(output)
    assert "WARNING" in line and "training goes on" in line and "finished" in output


# ---------------------------------------------------------------- without an account


def test_without_a_key_training_goes_on_after_one_line(tmp_path):
    short, _ = training_files(tmp_path)
    output = train(short, "--work-dir", "work", env=clean_environment(tmp_path / "home"), cwd=tmp_path)
    (line,) = about_wandb(output)
    assert "WARNING - wandb failed and is off for this run; training goes on" in line
    assert "wandb login" in line and "WANDB_MODE=offline" in line
    assert output.count("WARNING") == 1
    assert (tmp_path / "work" / "iter_2.pth").is_file() and "finished" in output


@pytest.fixture
def warnings():
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    get_root_logger().addHandler(handler)
    yield lines
    get_root_logger().removeHandler(handler)


def test_where_wandb_is_not_installed_training_goes_on(tmp_path, monkeypatch, warnings):
    monkeypatch.setitem(sys.modules, "wandb", None)
    writer = WandbWriter()
    writer.start(run_info(tmp_path))
    writer.write(train_record(1))
    writer.close()
    assert len(warnings) == 1 and "wandb failed and is off for this run" in warnings[0]
    assert writer.num_eval_images == 0


# ---------------------------------------------------------------- settings, with a wandb made here


class FakeRun:
    disabled, id, project, entity, dir = False, "run1", "p", "e", "run/files"

    def __init__(self):
        self.url, self.calls, self.failing = "http://x", [], False

    def log(self, values, **kwargs):
        if self.failing:
            raise ConnectionError("the network is gone\nand more")
        self.calls.append(("log", values, kwargs))

    def define_metric(self, name, summary):
        self.calls.append(("metric", name, summary))

    def log_artifact(self, artifact, aliases=None):
        self.calls.append(("artifact", artifact, aliases))

    def finish(self):
        self.calls.append(("finish",))

    def named(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


class FakeArtifact:
    def __init__(self, name, type, metadata=None):
        self.name, self.type, self.metadata, self.files = name, type, metadata, []
        self.manifest = SimpleNamespace(entries=self.files)

    def add_file(self, path, name=None, policy="mutable"):
        self.files.append((name or os.path.basename(path), policy))


@pytest.fixture
def wandb(monkeypatch):
    """A module in wandb's place that keeps what it is told."""
    fake = ModuleType("wandb")
    fake.run_made, fake.init_kwargs = FakeRun(), []
    fake.Settings = SimpleNamespace(model_fields={"init_timeout": 0, "finish_timeout": 0})
    fake.Artifact = FakeArtifact
    fake.Table = lambda columns, data: (columns, data)
    fake.Image = lambda picture, caption, masks, file_type: (caption, picture, masks, file_type)
    fake.init = lambda **kwargs: fake.init_kwargs.append(kwargs) or fake.run_made
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in [n for n in os.environ if n.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_SILENT", "true")
    return fake


def test_a_step_takes_the_training_and_the_validation_record(tmp_path, wandb):
    writer = WandbWriter(commit=True, define_metric_cfg={"val/mIoU": "max"})
    writer.start(run_info(tmp_path))
    writer.write(train_record(2))
    writer.write(val_record(2))
    writer.close()
    assert [kwargs for _, kwargs in wandb.run_made.named("log")] == [{"step": 2}] * 2
    assert wandb.run_made.named("metric") == [("val/mIoU", "max")]
    assert wandb.run_made.calls[-1] == ("finish",)


@pytest.mark.parametrize("commit", [True, False])
def test_without_steps_commit_is_wandbs(tmp_path, wandb, commit):
    writer = WandbWriter(commit=commit, with_step=False)
    writer.start(run_info(tmp_path))
    writer.write(train_record(2))
    writer.close()
    ((values, kwargs),) = wandb.run_made.named("log")
    assert values["global_step"] == 2 and kwargs == {"commit": commit}


def test_the_hook_of_mmsegmentation_has_its_defaults_and_its_interval(tmp_path, wandb):
    writer = MMSegWandbWriter(init_kwargs=dict(project="p"), log_checkpoint=True)
    assert writer.num_eval_images == 100
    writer.start(run_info(tmp_path))
    for i in (10, 50, 60, 100):
        writer.write(train_record(i))
    writer.close()
    assert [kwargs["step"] for _, kwargs in wandb.run_made.named("log")] == [50, 100]


def test_the_pictures_are_rgb_with_both_masks(tmp_path, wandb):
    writer = WandbWriter()
    writer.start(run_info(tmp_path))
    writer.evaluation(val_record(5), evaluation(), [example("a.png")])
    writer.close()
    ((values, _),) = wandb.run_made.named("log")
    ((caption, picture, masks, _),) = values["val/examples"]
    assert caption == "a.png" and picture[0, 0].tolist() == [200, 20, 10]
    assert masks["prediction"]["mask_data"][0, 0] == 1 and masks["ground_truth"]["mask_data"][0, 0] == 255
    assert masks["prediction"]["class_labels"] == {0: "road", 1: "car.red", 255: "ignored"}


def checkpoints(writer, folder):
    """Save as a run does that improves once."""
    best = {"key": "mIoU", "score": 0.5, "file": "best_mIoU_iter_2.pth"}
    for name, iteration in (("latest.pth", 2), (best["file"], 2), ("iter_4.pth", 4)):
        (folder / name).write_text(name)
        writer.checkpoint(str(folder / name), {"iter": iteration, "epoch": 1, "best": best})


def test_at_the_end_the_best_checkpoint_and_the_files_are_uploaded(tmp_path, wandb):
    writer = WandbWriter(out_suffix=[".log", ".pth"])
    writer.start(run_info(tmp_path))
    checkpoints(writer, tmp_path)
    for name in ("a.log", "config.py", "wandb/run/debug.log", ".hidden.pth", "sub/b.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert wandb.run_made.named("artifact") == [], "nothing is uploaded before the end"
    writer.close()
    (model, aliases), (files, _) = wandb.run_made.named("artifact")
    assert model.name == "run_run1_model" and "best" in aliases and model.metadata["score"] == 0.5
    assert model.files == [("best_mIoU_iter_2.pth", "immutable")]
    assert files.name == "artifacts" and files.type == "model"
    assert sorted(files.files) == [
        ("a.log", "mutable"),
        ("iter_4.pth", "immutable"),
        ("latest.pth", "immutable"),
        ("sub/b.log", "mutable"),
    ]
    assert files_to_upload(str(tmp_path), (".py",)) == [str(tmp_path / "config.py")]


def test_log_checkpoint_uploads_each_as_it_is_saved(tmp_path, wandb):
    writer = WandbWriter(log_checkpoint=True, log_checkpoint_metadata=True, out_suffix=".none")
    writer.start(run_info(tmp_path))
    writer.evaluation(val_record(2), evaluation(), [])
    checkpoints(writer, tmp_path)
    writer.close()
    uploads = wandb.run_made.named("artifact")
    assert [a.files[0][0] for a, _ in uploads] == ["best_mIoU_iter_2.pth", "iter_4.pth"]
    assert [aliases for _, aliases in uploads] == [["iter_2", "latest", "best"], ["iter_4", "latest"]]
    assert uploads[1][0].metadata == {"iter": 4, "aAcc": 0.75, "mIoU": 0.5, "IoU.road": 0.5, "Acc.road": 0.25}


def test_log_artifact_false_uploads_nothing(tmp_path, wandb):
    writer = WandbWriter(log_artifact=False, out_suffix=".pth")
    writer.start(run_info(tmp_path))
    checkpoints(writer, tmp_path)
    writer.close()
    assert wandb.run_made.named("artifact") == []


def test_what_a_resume_and_the_user_say_to_init(tmp_path, wandb, monkeypatch):
    WandbWriter().start(run_info(tmp_path, lr=0.1))
    assert wandb.init_kwargs[-1] == {
        "config": {"lr": 0.1},
        "dir": str(tmp_path),
        "settings": {"init_timeout": 20, "finish_timeout": 120},
    }
    resumed = init_arguments(run_info(tmp_path, iteration=5), {})
    assert resumed["id"] == "run1" and resumed["resume"] == "allow"
    assert resumed["project"] == "p" and resumed["entity"] == "e"
    elsewhere = run_info(tmp_path / "new", iteration=5, resume_from=str(tmp_path / "latest.pth"))
    assert init_arguments(elsewhere, {})["id"] == "run1"
    assert "id" not in init_arguments(run_info(tmp_path), {}), "a run that starts anew is a new run"
    mine = init_arguments(
        run_info(tmp_path, iteration=5), dict(id="mine", project="q", settings=dict(init_timeout=3))
    )
    assert mine["id"] == "mine" and mine["project"] == "q"
    assert mine["settings"] == {"init_timeout": 3, "finish_timeout": 120}
    monkeypatch.setenv("WANDB_RUN_ID", "other")
    monkeypatch.setenv("WANDB_DIR", "/somewhere")
    assert not {"id", "resume", "dir"} & set(init_arguments(run_info(tmp_path, iteration=5), {}))


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_run_file_is_no_hindrance(tmp_path, wandb, text):
    (tmp_path / RUN_FILE).write_text(text)
    assert "id" not in init_arguments(run_info(tmp_path, iteration=5), {})


def test_a_network_that_comes_back_gets_the_later_records(tmp_path, wandb, warnings):
    writer = WandbWriter(log_artifact=False)
    writer.start(run_info(tmp_path))
    for i in range(1, 7):
        wandb.run_made.failing = i in (2, 3)
        writer.write(train_record(i))
        while not writer._tasks.empty():
            time.sleep(0.01)
        time.sleep(0.02)
    writer.close()
    assert [k["step"] for _, k in wandb.run_made.named("log")] == [1, 4, 5, 6]
    assert warnings == [
        "wandb failed; training goes on: the network is gone "
        "(WANDB_MODE=offline keeps the run on this disk, for `wandb sync`)"
    ]


def test_three_failures_in_a_row_end_it(tmp_path, wandb, warnings):
    writer = WandbWriter()
    writer.start(run_info(tmp_path))
    wandb.run_made.failing = True
    for i in range(1, 6):
        writer.write(train_record(i))
    writer._tasks.put(None)
    writer._thread.join()
    writer.close()
    assert not writer.working and writer.num_eval_images == 0 and len(warnings) == 1


def test_a_disabled_run_takes_nothing(tmp_path, wandb):
    wandb.run_made.disabled = True
    writer = WandbWriter()
    writer.start(run_info(tmp_path))
    writer.write(train_record(1))
    writer.close()
    assert wandb.run_made.calls == [] and writer.num_eval_images == 0
