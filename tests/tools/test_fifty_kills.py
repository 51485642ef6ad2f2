"""A run of two processes that is killed with -9 again and again, at random moments, and always goes on.

``KILLS=50 python -m pytest -m slow tests/tools/test_fifty_kills.py`` is the whole trial; without the
variable it is a short one. Half of the kills hit one rank, and the group starts again by itself; the others
hit the launcher and all it started, and the command is given again.
"""

from __future__ import annotations

import os
import re
import signal
import time

import numpy as np
import pytest

from mmseg.utils.checkpoint import read_checkpoint
from tests.helpers_survival import Run, end_all_runs, survivor_config, weights_of
from tests.helpers_train import same

KILLS = int(os.environ.get("KILLS", "4"))
# Between the first iteration of a start and the kill; a start goes some 15 to 40 iterations in the mean.
SECONDS = 1.2
MAX_ITERS = 40 * KILLS


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    end_all_runs()


def begun(text: str) -> int:
    """How often the training loop has begun."""
    return len(re.findall("training from iteration", text))


def check_files(work_dir) -> int:
    """Every checkpoint must be whole, whatever happened; gives their number."""
    paths = [path for path in work_dir.glob("*.pth")]
    for path in paths:
        assert "optimizer" in read_checkpoint(path)
    return len(paths)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_nothing_had_been(tmp_path, capsys):
    config = survivor_config(
        tmp_path,
        MAX_ITERS,
        checkpoint_config=dict(by_epoch=False, interval=3, max_keep_ckpts=3),
        evaluation=dict(interval=7, metric="mIoU", save_best="mIoU"),
    )
    whole = Run(config, 2, tmp_path / "whole")
    assert whole.ended() == 0, whole.output()[-3000:]

    rng = np.random.default_rng(50)
    work_dir = tmp_path / "killed"
    checked, moments, run, starts = 0, [], None, 0
    for number in range(KILLS):
        if run is None:
            run, starts = Run(config, 2, work_dir, MAX_RESTARTS=KILLS), 0
        run.wait_for(lambda: begun(run.output()) > starts, "start")  # noqa: B023
        time.sleep(rng.uniform(0, SECONDS))
        everything, rank = rng.integers(2), int(rng.integers(2))
        assert run.agent.poll() is None, f"it ended after {number} kills; MAX_ITERS is too small here"
        if everything:
            run.kill_everything()
            checked += check_files(work_dir)
            run = None
        else:
            starts = begun(run.output())
            pid = run.heartbeat(rank)["pid"]
            os.kill(pid, signal.SIGKILL)
        moments.append("all" if everything else rank)
    run = run or Run(config, 2, work_dir, MAX_RESTARTS=KILLS)
    assert run.ended() == 0, run.output()[-3000:]
    checked += check_files(work_dir)

    logs = [path.read_text(errors="replace") for path in sorted(tmp_path.glob("killed_*.txt"))]
    assert "Traceback" not in "".join(logs)
    assert sum(text.count("skipped the broken checkpoint") for text in logs) == 0
    assert same(weights_of(work_dir), weights_of(tmp_path / "whole"))
    assert {p.name for p in work_dir.glob("*.pth")} == {p.name for p in (tmp_path / "whole").glob("*.pth")}
    assert [p.name for p in work_dir.iterdir() if p.name.endswith(".tmp")] == []
    resumed = [int(n) for text in logs for n in re.findall(r"resumed from \S+ at iteration (\d+)", text)]
    assert resumed == sorted(resumed)
    with capsys.disabled():
        print(
            f"\n{KILLS} kills ({moments.count('all')} of everything, the others of one rank),"
            f" {checked} checkpoints read, 0 corrupt; resumed at {resumed}; final weights bitwise equal"
        )
