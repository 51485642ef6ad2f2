"""Every command and every Python block of the documentation, run on drawn scenes."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from mmseg.apis.setup import prepare_config
from mmseg.config import Config
from mmseg.datasets.pipelines import Compose
from mmseg.engine import build_lr_schedule, build_optimizer
from mmseg.engine.hooks import build_hooks
from mmseg.engine.plan import plan_run
from mmseg.engine.precision import precision_from
from mmseg.engine.writers import build_writers
from mmseg.models import build_segmentor
from tests.docs.markdown import PAGES, Block, Command, all_commands, all_python, commands_of
from tests.docs.playground import Playground

# Commands that cannot run here: the beginning of each, and why. One that no page has any more fails.
NOT_RUN = {
    r"wget ": "the network",
    r"for name in mit_b0_": "the network",
    r'python -c "from mmseg.utils.downloads import ': "the network",
    r"(pip install|conda env create) ": "it would change the environment that runs the tests",
    r"\.venv/bin/(python -m pip|pre-commit) install": "it would change the environment, and git's hooks",
    r"python tools/convert_datasets/(camvid\.py 701_|ade|voc_aug)": "downloads that are not drawn here",
    r"make (env|demo)\b": "installs packages; trains for minutes",
    r"make (test|test-slow|lint)\b": "runs these very tests; fetches ruff",
    r"(make bench|python benchmarks/)": "measures for minutes; tests/benchmarks tries the scripts out",
    r"\.venv/bin/python -m pytest ": "runs these very tests",
    r"python tools/replay\.py ": "needs a run that diverged; tests/engine/test_divergence.py tries it out",
    r"(NCCL_SOCKET_IFNAME=\S+ GLOO_SOCKET_IFNAME=\S+ )?NNODES=": "several machines",
    r"GPUS=\d+ .*bash tools/slurm_": "a cluster with Slurm",
    r"python tools/demo_app\.py ": "serves until it is stopped; tests/tools/test_demo_app.py opens its page",
    r"(tar|mv|rm) .*kitti-seg-competition": "on the file that wget brings",
}
# What runs among the quick tests; everything else is slow: each command is a process that imports torch.
QUICK = (
    r"python tools/train\.py configs/segformer/segformer_mit-b0_toy\.py$",
    r"python tools/print_config\.py configs/segformer/segformer_mit-b0_toy\.py$",
    r"python tools/test\.py configs/\S+_toy\.py \S+ \\\n    --eval mIoU mFscore --show-dir",
)
# Python blocks that are only compiled, by a piece of their text, and why.
ONLY_COMPILED: dict[str, str] = {}

COMMANDS = all_commands()
BLOCKS = all_python()


def why_not(command: Command) -> str | None:
    """Why ``command`` cannot run here, or None."""
    return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, command.text)), None)


def runnable() -> list[Any]:
    """The commands that run, each once, marked as slow but for a few."""
    params, seen, quick = [], set(), set()
    for command in COMMANDS:
        if why_not(command) or command.text in seen:
            continue
        seen.add(command.text)
        chosen = [p for p in QUICK if re.match(p, command.text) and p not in quick]
        quick.update(chosen)
        params.append(pytest.param(command, marks=[] if chosen else [pytest.mark.slow], id=command.name))
    return params


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Playground:
    play = Playground(tmp_path_factory.mktemp("play"), "\n".join(p.read_text() for p in PAGES))
    for block in BLOCKS:
        if block.file:
            path = play.root / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    return play


@pytest.mark.parametrize("command", runnable())
def test_command(command: Command, playground: Playground) -> None:
    done = playground.run(command)
    report = f"{command.name}: {command.text}\nstatus {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, report
    assert "Traceback" not in done.stderr, report
    words = command.words
    for option in ("--work-dir", "--show-dir", "--out"):
        if option in words:
            assert (playground.root / words[words.index(option) + 1]).exists(), (
                f"{option} was not made: {report}"
            )


def test_table_of_commands_that_do_not_run() -> None:
    unused = [p for p in NOT_RUN if not any(re.match(p, command.text) for command in COMMANDS)]
    assert unused == [], "no page has such a command any more; take these out of NOT_RUN"


def test_a_few_commands_are_quick() -> None:
    missing = [p for p in QUICK if not any(re.match(p, command.text) for command in COMMANDS)]
    assert missing == [], "no page has such a command any more; choose other quick ones"
    assert len(runnable()) > len(QUICK)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.name)
def test_python_block(block: Block, playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.syspath_prepend(str(playground.root))
    if any(piece in block.text for piece in ONLY_COMPILED):
        assert compile(block.text, block.name, "exec")
        return
    with playground.inside():
        if is_config(block.text):
            assert load_config(block, playground.root)["model"]
            return
        for path in re.findall(r"[\w./-]+\.pth", block.text):
            if not Path(path).exists():
                configs = re.findall(r"configs/[\w./-]+\.py", block.text)
                playground.train_briefly(configs[0], playground.root / path)
        before = set(sys.modules)
        namespace = {"__name__": "documented"}
        exec(compile(block.text, block.name, "exec"), namespace)
        assert len(namespace) > 2
        for name in set(sys.modules) - before:
            if str(playground.root) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def test_pieces_of_blocks_that_are_only_compiled() -> None:
    unused = [piece for piece in ONLY_COMPILED if not any(piece in b.text for b in BLOCKS)]
    assert unused == [], "no page has such a block any more; take these out of ONLY_COMPILED"


def is_config(text: str) -> bool:
    """Whether a block is (a part of) a config file: assignments and nothing else."""
    text = re.sub(r"\{\{.*?\}\}", "None", text)
    return all(isinstance(node, (ast.Assign, ast.AugAssign)) for node in ast.parse(text).body)


def load_config(block: Block, root: Path) -> Config:
    """Read a config block, over the toy recipe where it names no base, and build all that it describes."""
    own = "_base_" in block.text.replace("{{_base_", "")
    base = "" if own else '_base_ = "configs/segformer/segformer_mit-b0_toy.py"\n'
    path = root / f"block_{block.page.replace('/', '_')}_{block.line}.py"
    path.write_text(base + block.text)
    cfg = prepare_config(str(path))
    model = build_segmentor(cfg.model, cfg.get("train_cfg"), cfg.get("test_cfg"))
    optimizer = build_optimizer(model, cfg.optimizer)
    plan = plan_run(cfg, iters_per_epoch=2)
    schedule = build_lr_schedule(dict(cfg.lr_config), optimizer, plan.max_iters, plan.iters_per_epoch)
    schedule.step(0)
    assert optimizer.param_groups[0]["lr"] >= 0
    precision_from(cfg.get("fp16"), cfg.get("optimizer_config"))
    assert len(build_writers(cfg.get("log_config"))) >= 1
    build_hooks(cfg.get("custom_hooks"))
    for split in ("train", "val", "test"):
        Compose(cfg.data[split].pipeline)
    return cfg


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb # c\n\n# d\ne \\\n  f\n", ["a", "b # c", "e \\\n  f"]),
        ("for x in 1 2; do\n  echo $x\ndone\nls\n", ["for x in 1 2; do\n  echo $x\ndone", "ls"]),
        ("for x in 1 \\\n  2; do echo; done\n", ["for x in 1 \\\n  2; do echo; done"]),
    ],
)
def test_commands_are_told_apart(text: str, expected: list[str]) -> None:
    assert [c.text for c in commands_of(Block("page.md", 1, "bash", "", text))] == expected
