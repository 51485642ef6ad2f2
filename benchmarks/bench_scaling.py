"""What do more ranks, larger images, more classes and longer data sets cost?

Ranks: SegFormer-B0 trained by 1, 2 (and 4) processes with as many threads each, so that twice the ranks
should give twice the images. Image size and classes: one training step, and its parts that see every class of
every pixel; the cost per pixel should not grow. Data set: a list of a million synthetic names, against a
plain list of dictionaries; the memory that each worker has to itself should not grow while it works.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from benchmarks.harness.arguments import apply, bench_parser
from benchmarks.harness.machine import cores, synchronise
from benchmarks.harness.report import Table, record
from benchmarks.harness.timing import alternate
from mmseg.utils.errors import run_tool

ROOT = Path(__file__).resolve().parents[1]
RANK_BATCH, RANK_SIZE = 2, 128
MEGAPIXEL = 1e6


# ---------------------------------------------------------------- ranks


def train_rank(steps: int) -> None:
    """Train in this rank and print images per second of all ranks; torchrun starts it."""
    from torch.nn.parallel import DistributedDataParallel

    from mmseg.utils.distributed import get_rank, get_world_size, init_dist

    init_dist("pytorch", backend="nccl" if torch.cuda.is_available() else "gloo")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else "cpu"
    step = training_step(RANK_BATCH, RANK_SIZE, 19, str(device), wrap=DistributedDataParallel)
    for _ in range(3):
        step()
    torch.distributed.barrier()
    synchronise(str(device))
    start = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(str(device))
    torch.distributed.barrier()
    if get_rank() == 0:
        seconds = (time.perf_counter() - start) / (steps * RANK_BATCH * get_world_size())
        print(json.dumps({"seconds": seconds}), flush=True)
    torch.distributed.destroy_process_group()


def time_ranks(number: int, threads: int, steps: int) -> float:
    """Seconds per image with ``number`` ranks."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={number}"]
    command += [__file__, "--part", "rank", "--steps", str(steps)]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    answers = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    if done.returncode or not answers:
        raise RuntimeError(f"{number} ranks ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return float(json.loads(answers[-1])["seconds"])


def ranks_table(args: Any) -> Table:
    """Images per second with 1, 2 (and 4) ranks."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else cores()
    numbers = [n for n in (1, 2, 4) if n <= max(2, there)]
    threads = 1 if torch.cuda.is_available() else max(1, cores() // numbers[-1])
    steps = 2 if args.quick else 30
    timings = alternate(
        {str(n): lambda n=n: time_ranks(n, threads, steps) for n in numbers},
        rounds=min(args.rounds, 3),  # each starts processes, and runs long enough to be steady
        warmup=0,
        own_clock=True,
        budget_s=60,
    )
    title = f"SegFormer-B0, {RANK_BATCH} x {RANK_SIZE}x{RANK_SIZE} per rank, {threads} thread(s) each"
    table = Table(title, columns=["ranks"])
    for n in numbers:
        rate = 1 / timings[str(n)].median
        table.value("throughput", rate, "images/s", case=[n])
        table.value("of ideal", 100 * rate * timings["1"].median / n, "%", case=[n])
    return table


# ---------------------------------------------------------------- image size and classes


def training_step(
    batch: int, size: int, num_classes: int, device: str, wrap: Callable[[Any], Any] | None = None
) -> Callable[[], Any]:
    """One training step of SegFormer-B0 on random images and labels."""
    from mmseg.config import Config
    from mmseg.models import build_segmentor

    config = Config.fromfile(str(ROOT / "configs/_base_/models/segformer_mit-b0.py"))
    config.model.decode_head.num_classes = num_classes
    config.model.decode_head.norm_cfg = dict(type="BN")
    config.model.pretrained = None
    config.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = build_segmentor(config.model).to(device).train()
    model = wrap(model) if wrap is not None else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.standard_normal((batch, 3, size, size), dtype=np.float32)).to(device)
    labels = torch.from_numpy(rng.integers(0, num_classes, (batch, 1, size, size))).to(device)
    metas = [dict(ori_shape=(size, size, 3), img_shape=(size, size, 3), flip=False)] * batch
    parse = getattr(model, "module", model).parse_losses

    def step() -> None:
        losses = model(images, img_metas=metas, gt_semantic_seg=labels, return_loss=True)
        loss, _ = parse(losses)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def size_table(args: Any) -> Table:
    """A training step against the image's size."""
    sizes = (64, 128) if args.quick else (128, 256, 512)
    steps = {str(size): training_step(1, size, 19, args.device) for size in sizes}
    timings = alternate(
        steps, rounds=args.rounds, budget_s=40, sync=lambda: synchronise(args.device), least_s=0
    )
    table = Table("training step of SegFormer-B0, batch 1, 19 classes", columns=["size"])
    for size in sizes:
        seconds = timings[str(size)].median
        table.value("step", 1e3 * seconds, "ms", case=[f"{size}x{size}"])
        table.value("per megapixel", seconds / (size * size / MEGAPIXEL), "s", case=[f"{size}x{size}"])
    return table


def classes_table(args: Any) -> Table:
    """A training step and its parts against the number of classes."""
    from mmseg.core.evaluation import confusion_matrix
    from mmseg.models.losses import cross_entropy

    size = 64 if args.quick else 256
    numbers = (19, 150) if args.quick else (19, 150, 1000)
    table = Table(f"against the number of classes, batch 1, {size}x{size}", columns=["part", "classes"])
    parts: dict[str, dict[str, Callable[[], Any]]] = {
        "training step": {},
        "loss and gradient": {},
        "counting": {},
    }
    for n in numbers:
        logits = torch.randn(1, n, size, size, device=args.device, requires_grad=True)
        truth = torch.randint(0, n, (1, size, size), device=args.device)
        guess = truth.roll(3, -1)
        parts["training step"][str(n)] = training_step(1, size, n, args.device)
        parts["loss and gradient"][str(n)] = lambda logits=logits, truth=truth: torch.autograd.grad(
            cross_entropy(logits, truth), logits
        )
        parts["counting"][str(n)] = lambda guess=guess, truth=truth, n=n: confusion_matrix(
            guess[0], truth[0], n, 255
        )
    for part, calls in parts.items():
        timings = alternate(
            calls,
            rounds=args.rounds,
            budget_s=20,
            sync=lambda: synchronise(args.device),
            least_s=0 if args.quick else 0.02,
        )
        for n in numbers:
            seconds = timings[str(n)].median
            table.value("time", 1e3 * seconds, "ms", case=[part, n])
            table.value("per class", 1e6 * seconds / n, "us", case=[part, n])
    return table


# ---------------------------------------------------------------- data set size


def make_image(results: dict[str, Any]) -> dict[str, Any]:
    """The pipeline of the synthetic data set: an image that its name stands for."""
    number = int(results["img_info"]["filename"].rpartition("/")[2][:9])
    return {"img": torch.full((3, 16, 16), number % 255, dtype=torch.uint8)}


def synthetic_dataset(length: int, plain: bool) -> Any:
    """A data set of ``length`` names, in a list of ours or in a plain one."""
    from mmseg.datasets.custom import CustomDataset
    from mmseg.datasets.img_infos import ImgInfos

    class Synthetic(CustomDataset):
        CLASSES = ("a", "b")

        def load_annotations(self, *args: Any) -> Any:
            stems = (f"city_{i % 100:03d}/{i:09d}" for i in range(length))
            infos = ImgInfos.from_stems(stems, "_leftImg8bit.png", "_gtFine_labelTrainIds.png")
            return [{"filename": i["filename"], "ann": dict(i["ann"])} for i in infos] if plain else infos

    return Synthetic([make_image], img_dir=str(ROOT), test_mode=True)


def own_memory(pid: int | str) -> float:
    """Megabytes that a process shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def watch_list(length: int, plain: bool, batches: int) -> None:
    """Load batches with two workers; print times and memory as JSON."""
    from mmseg.datasets import build_dataloader

    start = time.perf_counter()
    before = own_memory("self")
    data = synthetic_dataset(length, plain)
    listed = time.perf_counter() - start
    listed_mb = own_memory("self") - before
    start = time.perf_counter()
    loader = build_dataloader(data, 64, 2, seed=0, start_iter=0)
    taken = iter(loader)
    next(taken)
    first = time.perf_counter() - start
    workers = [worker.pid for worker in loader._iterator._workers]
    early = max(map(own_memory, workers))
    for _ in itertools.islice(taken, batches):
        pass
    late = max(map(own_memory, workers))
    answer = dict(list_s=listed, list_mb=listed_mb, first_s=first, early_mb=early, late_mb=late)
    print(json.dumps(answer), flush=True)
    os._exit(0)


def list_table(args: Any) -> Table:
    """Start and memory against the length of the data set."""
    lengths = (1000, 10_000) if args.quick else (10_000, 1_000_000)
    batches = 20 if args.quick else 400
    table = Table(
        f"data set of synthetic names, 2 workers, {batches} batches of 64", columns=["names", "list"]
    )
    for length, plain in itertools.product(lengths, (False, True)):
        command = [
            sys.executable,
            __file__,
            "--part",
            "list",
            "--length",
            str(length),
            "--steps",
            str(batches),
        ]
        command += ["--plain"] if plain else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not done.stdout.strip():
            raise RuntimeError(f"the data set ended with status {done.returncode}:\n{done.stderr[-2000:]}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        case = [f"{length:,}", "plain" if plain else "ours"]
        table.value("listing", found["list_s"], "s", case=case)
        table.value("listing", found["list_mb"], "MB", case=case)
        table.value("first batch", found["first_s"], "s", case=case)
        table.value("a worker's own, first batch", found["early_mb"], "MB", case=case)
        table.value("a worker's own, last batch", found["late_mb"], "MB", case=case)
    return table


PARTS = {"ranks": ranks_table, "size": size_table, "classes": classes_table, "lists": list_table}


def main() -> None:
    parser = bench_parser(__doc__, rounds=5)
    parser.add_argument("--device", default="cpu", help="where the steps run (default cpu)")
    parser.add_argument("--only", choices=PARTS, action="append", help="one of the tables; may be repeated")
    parser.add_argument("--part", choices=("rank", "list"), help="used by the script itself")
    parser.add_argument("--steps", type=int, default=30, help="used by the script itself")
    parser.add_argument("--length", type=int, default=1000, help="used by the script itself")
    parser.add_argument("--plain", action="store_true", help="used by the script itself")
    args = parser.parse_args()
    if args.part == "rank":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        return train_rank(args.steps)
    if args.part == "list":
        return watch_list(args.length, args.plain, args.steps)
    args = apply(args)
    rows = []
    for name in args.only or PARTS:
        table = PARTS[name](args)
        table.print()
        rows += table.rows
    record("scaling", rows, args.out, quick=args.quick, device=args.device)


if __name__ == "__main__":
    run_tool(main)
