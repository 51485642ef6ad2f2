"""How long until a tool answers, a config is read, and the first iteration of a run is done?

Every figure but the config's is that of a fresh process, from its start to its end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness.arguments import apply, bench_parser
from benchmarks.harness.machine import peer
from benchmarks.harness.report import Table, record
from benchmarks.harness.timing import ROOT, alternate
from mmseg.utils.errors import run_tool

HELP_MARK_S = 0.5
IMPORT_MARK_S = 0.3
CONFIG = "configs/segformer/segformer_mit-b0_toy.py"
SIZE = (4, 128, 256)  # images, height and width of the toy recipe's batches
# The same first step with a peer's model, without a config, a data set or a log: fixed random tensors.
PEER_STEP = """
import torch
from torch.nn import functional as F
{build}
optimizer = torch.optim.AdamW(model.parameters(), lr=6e-5)
image, label = torch.randn({n}, 3, {h}, {w}), torch.randint(0, 19, ({n}, {h}, {w}))
logits = forward(image)
F.cross_entropy(F.interpolate(logits, size=({h}, {w}), mode="bilinear"), label).backward()
optimizer.step()
"""
PEERS = {
    "transformers": """
from transformers import SegformerConfig, SegformerForSemanticSegmentation
model = SegformerForSemanticSegmentation(SegformerConfig(num_labels=19)).train()
forward = lambda image: model(pixel_values=image).logits
""",
    "segmentation_models_pytorch": """
import segmentation_models_pytorch as smp
forward = model = smp.Segformer("mit_b0", encoder_weights=None, classes=19).train()
""",
}


def main() -> None:
    args = apply(bench_parser(__doc__, rounds=5).parse_args())
    table = Table("from nothing to an answer", columns=["what"])
    add_help(table, args.rounds)
    add_imports(table, args.rounds, quick=args.quick)
    add_configs(table, args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        add_first_iteration(table, min(args.rounds, 3), Path(folder), quick=args.quick)
    table.print()
    record("startup", table.rows, args.out, quick=args.quick)


def add_help(table: Table, rounds: int) -> None:
    """``--help`` of the two tools of every day, beside Python itself."""
    calls = {
        "ours": partial(python, "tools/train.py", "--help"),
        "Python alone": partial(python, "-c", "pass"),
    }
    timings = alternate(calls, rounds=rounds)
    table.compare(timings, ours="ours", case=["tools/train.py --help"], peers=[], most_s=HELP_MARK_S)


def add_imports(table: Table, rounds: int, *, quick: bool) -> None:
    """What an import takes once torch is there."""
    cases = {"import mmseg": "import mmseg", "import mmseg.apis (everything)": "import mmseg.apis"}
    if quick:
        cases.pop("import mmseg")
    others = {
        "transformers": "from transformers import SegformerForSemanticSegmentation",
        "segmentation_models_pytorch": "import segmentation_models_pytorch",
    }
    for case, statement in cases.items():
        calls: dict[str, Callable[[], float]] = {"ours": partial(import_seconds, statement)}
        if "apis" in case and not quick:
            calls |= {n.replace("_", "-"): partial(import_seconds, s) for n, s in others.items() if peer(n)}
        timings = alternate(calls, rounds=rounds, own_clock=True)
        table.compare(timings, ours="ours", case=[f"{case}, beyond torch"], most_s=IMPORT_MARK_S)


def add_configs(table: Table, rounds: int) -> None:
    """The config with the longest chain of bases, and all that there are."""
    from mmseg.config import Config

    paths = sorted((ROOT / "configs").rglob("*.py"))
    deepest = max(paths, key=depth)

    def load_all() -> None:
        for path in paths:
            Config.fromfile(str(path))

    for case, call in (
        (f"load the deepest config ({depth(deepest)} files deep)", lambda: Config.fromfile(str(deepest))),
        (f"load all {len(paths)} configs", load_all),
    ):
        table.compare(alternate({"ours": call}, rounds=rounds), ours="ours", case=[case])


def add_first_iteration(table: Table, rounds: int, folder: Path, *, quick: bool) -> None:
    """The whole process of a run of one iteration, from random weights on drawn scenes."""
    data = folder / "toy"
    python("tools/make_toy_dataset.py", str(data), "--num-train", "4", "--num-val", "1", "--nproc", "1")
    options = ["runner.max_iters=1", f"data.train.data_root={data}", "data.workers_per_gpu=0"]
    run = ["tools/train.py", CONFIG, "--work-dir", str(folder / "run"), "--no-validate", "--seed", "0"]
    n, h, w = SIZE
    calls = {"ours": partial(python, *run, "--cfg-options", *options)}
    for name, build in () if quick else PEERS.items():
        if peer(name):
            code = PEER_STEP.format(build=build, n=n, h=h, w=w)
            calls[f"{name.replace('_', '-')}, model and step only"] = partial(python, "-c", code)
    calls["import torch alone"] = partial(python, "-c", "import torch")
    timings = alternate(calls, rounds=rounds, budget_s=45)
    peers = [name for name in calls if "step" in name]
    table.compare(timings, ours="ours", case=["SegFormer-B0, until one iteration is done"], peers=peers)


def depth(config: Path) -> int:
    """Number of files in the longest chain of bases of a config, itself included."""
    found = re.search(r"^_base_\s*=\s*(\[[^\]]*\]|\S+)", config.read_text(encoding="utf-8"), re.MULTILINE)
    bases = re.findall(r"[\"']([^\"']+)[\"']", found[1]) if found else []
    return 1 + max((depth((config.parent / base).resolve()) for base in bases), default=0)


def import_seconds(statement: str) -> float:
    """Seconds that ``statement`` takes in a fresh process that has torch already."""
    code = (
        "import time, torch\n"
        f"start = time.perf_counter()\n{statement}\n"
        "print('seconds', time.perf_counter() - start)"
    )
    return float(python("-c", code).rpartition("seconds ")[2])


def python(*argv: str) -> str:
    """Run this Python in the repository with ``argv`` to its end; returns what it printed.

    Raises:
        RuntimeError: it failed; with the last lines that it printed.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, *argv], cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise RuntimeError(f"python {' '.join(argv[:2])} ended with status {done.returncode}:\n{last}")
    return done.stdout


if __name__ == "__main__":
    run_tool(main)
