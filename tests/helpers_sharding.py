"""Training runs on two processes of this machine, several in one go.

``python -m tests.helpers_sharding JOBS.json`` is one of the two; ``run_jobs`` starts both. A job is
``dict(name, config, work_dir, validate=False)``, or with ``stop_after`` a run that is saved and left after so
many iterations. Rank 0 writes ``WORK_DIR/losses.json``: the loss of every iteration, the mean over the ranks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).parent.parent


def run_jobs(jobs: list[dict[str, Any]], folder: Path, ranks: int = 2) -> None:
    """Run ``jobs`` one after another on ``ranks`` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs, default=str))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "tests.helpers_sharding", str(path)]
    started = []
    for rank in range(ranks):
        own = {**env, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
        with open(folder / f"rank_{rank}.txt", "w") as log:
            started.append(subprocess.Popen(command, cwd=REPO, env=own, stdout=log, stderr=log))
    try:
        statuses = [process.wait(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    assert statuses == [0] * ranks, (folder / "rank_0.txt").read_text()[-3000:]


def losses_of(work_dir: Path) -> list[float]:
    """The loss of every iteration of a job."""
    return json.loads((Path(work_dir) / "losses.json").read_text())


def train_job(job: dict[str, Any]) -> Any:
    """Run one job in this process, which may be one of several; return the trainer."""
    import torch
    import torch.distributed as dist

    from mmseg.engine import HOOKS, Hook
    from mmseg.utils.distributed import get_rank, get_world_size
    from tests.helpers_train import train

    losses: list[float] = []

    @HOOKS.register_module(force=True)
    class Collect(Hook):
        def after_iter(self, trainer, log_vars):
            loss = log_vars["loss"].clone()
            if get_world_size() > 1:
                dist.all_reduce(loss)
            losses.append(float(loss) / get_world_size())
            if trainer.iter == job.get("stop_after"):
                trainer.save("latest.pth")
                raise StopIteration

    torch.set_num_threads(1)
    config = {**job["config"], "custom_hooks": [*job["config"].get("custom_hooks", []), dict(type="Collect")]}
    trainer = None
    with contextlib.suppress(StopIteration):
        trainer = train(config, Path(job["work_dir"]), validate=job.get("validate", False))
    if get_rank() == 0:
        (Path(job["work_dir"]) / "losses.json").write_text(json.dumps(losses))
    return trainer


def main() -> None:
    """Join the group and run all jobs."""
    import torch.distributed as dist

    import tests.helpers_hooks  # noqa: F401  whose hooks jobs may name

    dist.init_process_group("gloo")
    for job in json.loads(Path(sys.argv[1]).read_text()):
        print("job", job["name"], flush=True)
        train_job(job)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
