"""tools/slurm_train.sh and tools/slurm_test.sh, with a srun of our own."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers_run import REPO, tiny_config, write_config, write_dataset

# Runs the command once per task, side by side, with the variables that Slurm sets.
SRUN = """#!{python}
import json, os, subprocess, sys

options, command = [], sys.argv[1:]
while command and command[0].startswith("-"):
    options.append(command.pop(0))
    if options[-1] == "-p":
        options.append(command.pop(0))
with open(os.environ["SRUN_LOG"], "w") as file:
    json.dump(dict(options=options, command=command, port=os.environ["PORT"]), file)
if os.environ.get("SRUN_ONLY_LOGS"):
    sys.exit(int(os.environ.get("SRUN_STATUS", "0")))
tasks = int(next(o for o in options if o.startswith("--ntasks=")).partition("=")[2])
place = dict(SLURM_NTASKS=str(tasks), SLURM_NODELIST="localhost", SLURM_JOB_ID="7")
runs = [
    subprocess.Popen(command, env=dict(os.environ, **place, SLURM_PROCID=str(i), SLURM_LOCALID=str(i)))
    for i in range(tasks)
]
sys.exit(max(abs(run.wait()) for run in runs))
"""


@pytest.fixture
def slurm(tmp_path):
    """A function that runs a script where ``srun`` is the one above; it returns the result and srun's log."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(SRUN.format(python=sys.executable))
    (folder / "srun").chmod(0o755)

    def run(script: str, *args: object, **variables: str) -> tuple[subprocess.CompletedProcess, dict]:
        log = tmp_path / "srun.json"
        log.unlink(missing_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        mine = dict(
            PATH=f"{folder}:{os.environ['PATH']}", SRUN_LOG=str(log), PYTHON=sys.executable, PORT=port
        )
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "MASTER_", "RANK", "WORLD"))
        }
        env = {**kept, **mine, **variables}
        command = ["bash", str(REPO / "tools" / script), *map(str, args)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, cwd=tmp_path)
        return done, json.loads(log.read_text()) if log.exists() else {}

    return run


def test_two_tasks_train_and_score_together(tmp_path, slurm):
    root = write_dataset(tmp_path / "data", train=4, val=3)
    log_config = dict(interval=1, hooks=[dict(type="TensorboardLoggerHook")])
    config = write_config(tmp_path / "c.py", tiny_config(root, max_iters=2, seed=1, log_config=log_config))
    done, _ = slurm("slurm_train.sh", "gpu", "street", config, tmp_path / "work", GPUS="2")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "batch 2 x 2" in done.stderr
    checkpoint = tmp_path / "work" / "latest.pth"
    state = torch.load(checkpoint, weights_only=True)
    assert state["meta"]["iter"] == 2 and state["sampler"]["world_size"] == 2
    log = EventAccumulator(str(tmp_path / "work" / "tf_logs")).Reload()
    assert log.Tags()["images"] == ["val/000.png", "val/001.png", "val/002.png"], "from both ranks"

    out = tmp_path / "scores"
    done, _ = slurm(
        *("slurm_test.sh", "gpu", "street", config, checkpoint, "--eval", "mIoU"),
        GPUS="2",
        PY_ARGS=f"--work-dir {shlex.quote(str(out))}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (scores,) = out.glob("eval_single_scale_*.json")
    assert 0 <= json.loads(scores.read_text())["metric"]["mIoU"] <= 1


def test_a_mistake_gives_status_2_and_one_line(tmp_path, slurm):
    done, log = slurm("slurm_train.sh", "gpu", "street", tmp_path / "none.py", GPUS="1")
    assert log and done.returncode == 2
    assert "Traceback" not in done.stderr and "none.py" in done.stderr


@pytest.mark.parametrize(
    ("variables", "gpus", "per_node", "cpus"),
    [
        ({}, 4, 4, 5),
        (dict(GPUS="2"), 2, 2, 5),
        (dict(GPUS="16", GPUS_PER_NODE="8", CPUS_PER_TASK="3"), 16, 8, 3),
    ],
)
def test_what_srun_is_asked_for(slurm, variables, gpus, per_node, cpus):
    done, log = slurm("slurm_train.sh", "gpu", "my job", "c.py", SRUN_ONLY_LOGS="1", **variables)
    assert done.returncode == 0, done.stderr
    assert log["options"] == [
        *("-p", "gpu", "--job-name=my job", f"--gres=gpu:{per_node}", f"--ntasks={gpus}"),
        *(f"--ntasks-per-node={per_node}", f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1"),
        "--signal=USR1@120",
    ]
    tool = str(Path(log["command"][2]).resolve())
    assert tool == str(REPO / "tools" / "train.py") and log["command"][3:] == ["c.py", "--launcher", "slurm"]


def test_more_arguments_reach_srun_and_the_tool(slurm):
    variables = dict(SRUN_ARGS="--exclude=n1 --time=10", PY_ARGS="--seed 3", SRUN_ONLY_LOGS="1")
    _, log = slurm("slurm_train.sh", "gpu", "j", "c.py", "my work", "--auto-resume", **variables)
    assert log["options"][-2:] == ["--exclude=n1", "--time=10"]
    assert log["command"][4:] == [
        "--launcher",
        "slurm",
        "--work-dir",
        "my work",
        "--seed",
        "3",
        "--auto-resume",
    ]
    _, log = slurm("slurm_train.sh", "gpu", "j", "c.py", "--no-validate", SRUN_ONLY_LOGS="1")
    assert log["command"][4:] == ["--launcher", "slurm", "--no-validate"], "WORK_DIR may be left out"


def test_the_signal_before_the_end_of_the_time_may_be_another_or_none(slurm):
    for value, options in (("TERM@300", ["--signal=TERM@300"]), ("", [])):
        _, log = slurm("slurm_train.sh", "p", "j", "c.py", SRUN_ONLY_LOGS="1", STOP_SIGNAL=value)
        assert [option for option in log["options"] if "signal" in option] == options
    _, log = slurm("slurm_test.sh", "p", "j", "c.py", "c.pth", SRUN_ONLY_LOGS="1")
    assert [option for option in log["options"] if "signal" in option] == []


@pytest.mark.parametrize(
    ("status", "job", "requeued"), [("75", "7", "requeue 7"), ("75", "", None), ("2", "7", None)]
)
def test_a_batch_job_that_was_asked_to_stop_is_queued_again(slurm, tmp_path, status, job, requeued):
    scontrol, log = tmp_path / "bin" / "scontrol", tmp_path / "scontrol.txt"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {shlex.quote(str(log))}\n')
    scontrol.chmod(0o755)
    variables = dict(SRUN_ONLY_LOGS="1", SRUN_STATUS=status, SLURM_JOB_ID=job)
    done, _ = slurm("slurm_train.sh", "p", "j", "c.py", "--auto-resume", **variables)
    assert done.returncode == int(status)
    assert (log.read_text().strip() if log.exists() else None) == requeued


def test_a_port_is_drawn_for_all_tasks(slurm):
    ports = {slurm("slurm_train.sh", "p", "j", "c", PORT="", SRUN_ONLY_LOGS="1")[1]["port"] for _ in range(4)}
    assert len(ports) > 1 and all(20000 <= int(p) < 30000 for p in ports)


@pytest.mark.parametrize(
    ("script", "args"), [("slurm_train.sh", ("p", "j")), ("slurm_test.sh", ("p", "j", "c.py"))]
)
def test_usage(slurm, script, args):
    done, log = slurm(script, *args)
    assert done.returncode == 2 and not log
    assert f"bash tools/{script} PARTITION JOB_NAME CONFIG" in done.stderr


@pytest.mark.parametrize("name", ["GPUS", "GPUS_PER_NODE", "CPUS_PER_TASK"])
def test_a_number_that_is_none_is_refused(slurm, name):
    done, log = slurm("slurm_train.sh", "p", "j", "c.py", **{name: "two"})
    assert done.returncode == 2 and not log
    assert f"{name} is 'two'" in done.stderr


def test_without_slurm_the_message_says_what_to_use(slurm):
    done, _ = slurm("slurm_train.sh", "p", "j", "c.py", PATH="/usr/bin:/bin")
    assert done.returncode == 2 and "dist_*.sh" in done.stderr
