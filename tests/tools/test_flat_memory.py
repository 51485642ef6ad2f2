"""Memory and open files of a run with workers, evaluations and checkpoints do not grow.

``ITERATIONS=5000 python -m pytest -m slow tests/tools/test_flat_memory.py`` is the whole trial; without the
variable it is a short one.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers_run import REPO
from tests.helpers_survival import descendants, survivor_config

ITERATIONS = int(os.environ.get("ITERATIONS", "1500"))
WARM_UP = 0.3  # of the iterations
MOST = 0.01  # of growth


def own_memory(pid: int) -> int:
    """Bytes that a process holds, but for files: pages of PyTorch's libraries count as a process's own or as
    shared by what else runs on the machine."""
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * sum(map(int, re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", text, re.MULTILINE)))


def use_of(pid: int) -> tuple[int, int, int]:
    """Processes, open files and bytes of a process and all below it."""
    pids = [pid, *descendants(pid)]
    files = sum(len(os.listdir(f"/proc/{each}/fd")) for each in pids)
    return len(pids), files, sum(map(own_memory, pids))


def finished(work_dir: Path) -> int:
    """The last iteration that the run logged."""
    (log,) = work_dir.glob("*.log.json")
    return max(map(int, re.findall(r'"iter": (\d+)', log.read_text())), default=0)


@pytest.mark.slow
def test_memory_and_open_files_stay_the_same(tmp_path, capsys):
    config = survivor_config(
        tmp_path,
        ITERATIONS,
        evaluation=dict(interval=50, metric="mIoU", save_best="mIoU"),
        checkpoint_config=dict(by_epoch=False, interval=25, max_keep_ckpts=2),
        log_config=dict(
            interval=5,
            hooks=[dict(type=f"{name}LoggerHook") for name in ("Text", "Csv", "Tensorboard")],
        ),
        ema=True,
    )
    work_dir = tmp_path / "run"
    command = [sys.executable, "tools/train.py", config, "--work-dir", work_dir]
    command += ["--cfg-options", "data.workers_per_gpu=1"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}
    samples: list[tuple[int, int, int, int]] = []
    with open(tmp_path / "output.txt", "w") as log:
        run = subprocess.Popen([*map(str, command)], env=env, stdout=log, stderr=log, cwd=REPO)
        while run.poll() is None:
            time.sleep(0.25)
            try:
                samples.append((finished(work_dir), *use_of(run.pid)))
            except (OSError, ValueError):  # not begun yet, or a process has just ended
                continue
    assert run.returncode == 0, (tmp_path / "output.txt").read_text()[-3000:]

    most = max(processes for _, processes, _, _ in samples)
    later = [s for s in samples if s[0] > WARM_UP * ITERATIONS and s[1] == most]
    third = len(later) // 3
    assert third >= 5, f"only {len(later)} samples"
    growth = {}
    for name, column in (("open files", 2), ("memory", 3)):
        first, last = (statistics.median(s[column] for s in part) for part in (later[:third], later[-third:]))
        growth[name] = (first, last, (last - first) / first)
    with capsys.disabled():
        for name, (first, last, share) in growth.items():
            told = f"{name} {first:.0f} -> {last:.0f} ({share:+.2%})"
            print(f"\n{ITERATIONS} iterations, {most} processes: {told}")
    assert {name: share for name, (_, _, share) in growth.items() if share >= MOST} == {}
