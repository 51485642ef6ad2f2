"""One contestant of ``bench_train.py`` in a process of its own: a training step per line on its input."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness.worker import serve
from benchmarks.train_models import IGNORED, NUM_CLASSES, PEERS, loss_of, ours


def main() -> None:
    task = json.loads(sys.argv[1])
    if task["keep_memory"]:
        from mmseg.utils.allocator import keep_memory

        keep_memory(task["device"])
    import torch

    if task["device"] == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    torch.manual_seed(0)
    device = torch.device(task["device"])
    contestant = task["contestant"]
    image, label = random_batch(task["batch"], task["size"], device)
    facts = cost_of(task, image, label)
    layout = torch.channels_last if task["channels_last"] else torch.preserve_format
    model = build(task).to(device, memory_format=layout).train()
    image = image.contiguous(memory_format=layout) if task["channels_last"] else image
    if contestant == "ours":
        from mmseg.engine import build_optimizer

        optimizer = build_optimizer(model, {"type": "AdamW", "lr": 6e-5, "weight_decay": 0.01})
    else:
        fused = {"fused": True} if device.type == "cuda" else {}
        optimizer = torch.optim.AdamW(model.parameters(), lr=6e-5, weight_decay=0.01, **fused)
    if task["compile"]:
        compiled(model, contestant)
    loss_from = loss_of(contestant)
    half = task["dtype"] == "bf16"

    def step() -> dict[str, Any]:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            loss = loss_from(model, image, label)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return facts

    serve(step, device=task["device"])


def random_batch(batch: int, size: list[int], device: Any) -> tuple[Any, Any]:
    """Images (batch, 3, h, w) and labels (batch, h, w), a tenth of them ignored."""
    import torch

    image = torch.randn(batch, 3, *size)
    label = torch.randint(0, NUM_CLASSES, (batch, *size))
    label[torch.rand(label.shape) < 0.1] = IGNORED
    return image.to(device), label.to(device)


def build(task: dict[str, Any], exact: bool = False) -> Any:
    """The model that ``task`` names."""
    if task["contestant"] == "ours":
        return ours(task["row"], auxiliary=task.get("auxiliary", False), exact=exact)
    return PEERS[task["contestant"]](**task["settings"])


def cost_of(task: dict[str, Any], image: Any, label: Any) -> dict[str, float]:
    """GFLOP of forward and backward (a multiply-add is two), GB that a step must move, million parameters.

    The operations are those of the architecture (ours with ``exact``), counted on one image on a CPU without
    computing (meta tensors). What must be moved: what the forward pass keeps for the backward pass, written
    and read once; the weights, read twice; gradients and both moments, read and written.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = build(task, exact=True).train().to("meta")
    count = 2  # batch norm wants more than one value
    inputs = (
        torch.empty(count, *image.shape[1:], device="meta"),
        torch.empty(count, *label.shape[1:], dtype=label.dtype, device="meta"),
    )
    kept: dict[int, int] = {}
    held = []  # so that no address comes twice

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        held.append(storage)
        kept[id(storage)] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = loss_of(task["contestant"])(model, *inputs)
        loss.backward()
    parameters = sum(p.numel() for p in model.parameters())
    share = task["batch"] / count
    width = 0.5 if task["dtype"] == "bf16" else 1.0
    return {
        "gflop": counter.get_total_flops() * share / 1e9,
        "gbyte": (2 * width * sum(kept.values()) * share + 4 * 8 * parameters) / 1e9,
        "mparam": parameters / 1e6,
    }


def compiled(model: Any, contestant: str) -> None:
    """Compile in place: ours by its own switch, a peer as a whole."""
    if contestant == "ours":
        from mmseg.engine.compilation import compile_model

        compile_model(model, {"compile": True})
    else:
        model.compile()


if __name__ == "__main__":
    main()
