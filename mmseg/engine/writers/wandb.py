"""Weights & Biases: config, curves, a per-class table, example images, the best checkpoint."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmseg.engine.writers.base import WRITERS, TolerantWriter, curves, per_class_scores
from mmseg.utils.logger import get_root_logger

if TYPE_CHECKING:
    from mmseg.engine.evaluator import Evaluation
    from mmseg.engine.writers.examples import Example

RUN_FILE = "wandb_run.json"  # in the work folder: which run a resume goes on with

# Seconds that a run waits for wandb's server: before it trains without, and for the last uploads.
_SETTINGS = {"init_timeout": 20, "finish_timeout": 120, "finish_timeout_raises": True, "login_timeout": 5}
_FAILURES = 3  # in a row, after which a run goes on without
_BACKLOG_SECONDS = 60  # at the end, for what the loop handed over but wandb has not taken yet


@WRITERS.register_module(name="WandbLoggerHook")
class WandbWriter(TolerantWriter):
    """Logs to wandb, online or (``WANDB_MODE=offline``) into ``WORK_DIR/wandb``, for ``wandb sync``.

    A thread of its own talks to wandb, so that the loop never waits for a slow server.

    A resumed run goes on with the wandb run that ``WORK_DIR/wandb_run.json`` names. Where wandb is not
    installed, has no key, cannot reach its server or fails later, one line says so and training goes
    on; nobody is ever asked for a key. What a server takes too long for stays on this disk, where
    ``wandb sync`` finds it.

    Args:
        init_kwargs: For ``wandb.init``: ``project``, ``entity``, ``name``, ``mode``, ``settings``, ...
        interval: Iterations between training records; None takes each record of the loop.
        commit: Without ``with_step``, passed to ``wandb.log``. With it, the values of one iteration are
            one row of the run's history, which wandb closes at the next iteration.
        with_step: Log against the iteration; without, the iteration is a value called ``global_step``.
        log_artifact: At the end, upload the best checkpoint (artifact ``run_ID_model``) and the files of
            the work folder that end in ``out_suffix`` (artifact ``artifacts``).
        out_suffix: Endings of those files.
        define_metric_cfg: Summaries by metric for ``wandb.define_metric``, such as ``{'val/mIoU': 'max'}``.
        log_checkpoint: Upload each numbered and each best checkpoint as it is saved.
        log_checkpoint_metadata: Describe those by the scores of the last evaluation.
        num_eval_images: Validation images per evaluation, with prediction and truth as masks;
            8 if None.
        ignore_last, reset_flag, by_epoch: accepted as 0.25's.
    """

    label = "wandb"
    remedy = "WANDB_MODE=offline keeps the run on this disk, for `wandb sync`"
    default_interval: int | None = None
    default_images = 8

    def __init__(
        self,
        init_kwargs: Mapping[str, Any] | None = None,
        interval: int | None = None,
        ignore_last: bool = True,
        reset_flag: bool = False,
        commit: bool = True,
        by_epoch: bool | None = None,
        with_step: bool = True,
        log_artifact: bool = True,
        out_suffix: str | Sequence[str] = (".log.json", ".log", ".py"),
        define_metric_cfg: Mapping[str, str] | None = None,
        log_checkpoint: bool = False,
        log_checkpoint_metadata: bool = False,
        num_eval_images: int | None = None,
    ) -> None:
        super().__init__(
            interval=self.default_interval if interval is None else interval,
            num_eval_images=self.default_images if num_eval_images is None else num_eval_images,
        )
        self.init_kwargs = dict(init_kwargs or {})
        self.commit, self.with_step = commit, with_step
        self.log_artifact = log_artifact
        self.out_suffix = (out_suffix,) if isinstance(out_suffix, str) else tuple(out_suffix)
        self.define_metric_cfg = dict(define_metric_cfg or {})
        self.log_checkpoint, self.log_checkpoint_metadata = log_checkpoint, log_checkpoint_metadata
        self.best: dict[str, Any] = {}
        self.scores: dict[str, float] = {}
        self.uploaded: set[str] = set()
        self._tasks: queue.SimpleQueue[tuple[Callable[..., Any], Any, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="wandb writer", daemon=True)

    def _start(self, run: Mapping[str, Any]) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")  # what there is to say stands in our log
        import wandb

        self.work_dir = str(run["work_dir"])
        self.classes = list(run["meta"].get("CLASSES") or [])
        with _nobody_to_ask():
            self.run = wandb.init(**init_arguments(run, self.init_kwargs))
        if self.run.disabled:  # WANDB_MODE=disabled
            self.working, self.num_eval_images = False, 0
            return
        for metric, summary in self.define_metric_cfg.items():
            self.run.define_metric(metric, summary=summary)
        self.run_id = str(self.run.id)
        self._remember_run()
        self._thread.start()
        where = self.run.url or f"{self._sync_hint()} uploads it later"
        get_root_logger().info(f"wandb run {self.run_id}: {where}")

    def _remember_run(self) -> None:
        path = os.path.join(self.work_dir, RUN_FILE)
        known = {k: getattr(self.run, k, None) for k in ("id", "project", "entity", "url")}
        with open(f"{path}.tmp", "w", encoding="utf-8") as file:
            json.dump({k: v or None for k, v in known.items()}, file, indent=2)
        os.replace(f"{path}.tmp", path)

    def _later(self, action: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._tasks.put((action, args, kwargs))

    def _work(self) -> None:
        """The thread: do what ``_later`` was given, in order, until a None."""
        failures = 0
        while (task := self._tasks.get()) is not None:
            if not self.working:
                continue
            action, args, kwargs = task
            try:
                action(*args, **kwargs)
                failures = 0
            except Exception as error:  # as in _try, but a network that is away for a while may come back
                failures += 1
                if failures < _FAILURES:
                    self._warn(error)
                else:
                    self._give_up(error)

    def _write(self, record: Mapping[str, Any]) -> None:
        self._later(self._log, curves(record), record["iter"])

    def _log(self, values: dict[str, Any], iteration: int) -> None:
        if self.with_step:
            # A committed step takes no more values, and an iteration may have both a training and a
            # validation record.
            self.run.log(values, step=iteration)
        else:
            self.run.log({**values, "global_step": iteration}, commit=self.commit)

    def _evaluation(self, record: Mapping[str, Any], result: Evaluation, examples: Sequence[Example]) -> None:
        self.scores = {k: v for k, v in result.scores.items() if math.isfinite(v)}
        self._later(self._log_evaluation, dict(record), dict(result.scores), list(examples))

    def _log_evaluation(
        self, record: dict[str, Any], scores: dict[str, float], examples: list[Example]
    ) -> None:
        import wandb

        columns, rows = per_class_scores(scores, self.classes)
        values: dict[str, Any] = {"val/per_class": wandb.Table(columns=columns, data=rows)}
        if examples:
            labels = {**dict(enumerate(map(str, self.classes))), 255: "ignored"}
            values["val/examples"] = [_image(wandb, example, labels) for example in examples]
        self._log(values, record["iter"])

    def _checkpoint(self, path: str, info: Mapping[str, Any]) -> None:
        self.best = dict(info.get("best") or {})
        name = os.path.basename(path)
        is_best = name == self.best.get("file")
        if self.log_checkpoint and name != "latest.pth":
            aliases = [f"iter_{info['iter']}", "latest"] + (["best"] if is_best else [])
            metadata = {"iter": info["iter"], **self.scores} if self.log_checkpoint_metadata else {}
            self._upload_model(path, aliases, {**metadata, **(self.best if is_best else {})})

    def _upload_model(
        self, path: str, aliases: list[str], metadata: dict[str, Any], policy: str = "mutable"
    ) -> None:
        import wandb

        artifact = wandb.Artifact(f"run_{self.run_id}_model", type="model", metadata=metadata)
        artifact.add_file(path, policy=policy)
        self._later(self.run.log_artifact, artifact, aliases=aliases)
        self.uploaded.add(os.path.abspath(path))

    def _close(self) -> None:
        if self.log_artifact:
            best = os.path.join(self.work_dir, self.best.get("file") or "")
            if os.path.isfile(best) and os.path.abspath(best) not in self.uploaded:
                # Nobody writes to it any more, so wandb need not copy it first.
                self._upload_model(best, ["best", "latest"], self.best, policy="immutable")
            self._upload_files()
        if self.run.url:
            get_root_logger().info(f"wandb: uploading what is left to {self.run.url}")
        self._tasks.put(None)
        self._thread.join(_BACKLOG_SECONDS)
        if not self.working:
            return
        if self._thread.is_alive():
            raise TimeoutError(
                f"its server does not answer; {self._sync_hint()} uploads what is on this disk"
            )
        try:
            self.run.finish()
        except TimeoutError as error:
            raise TimeoutError(f"the uploads take too long; {self._sync_hint()} does the rest") from error

    def _sync_hint(self) -> str:
        return f"`wandb sync {os.path.dirname(self.run.dir)}`"

    def _upload_files(self) -> None:
        """The files of the work folder with one of the endings, as one artifact, as in 0.25."""
        import wandb

        artifact = wandb.Artifact("artifacts", type="model")
        for path in files_to_upload(self.work_dir, self.out_suffix):
            if os.path.abspath(path) not in self.uploaded:
                # The log is still being written to, so wandb must copy it.
                policy = "immutable" if path.endswith(".pth") else "mutable"
                artifact.add_file(path, name=os.path.relpath(path, self.work_dir), policy=policy)
        if artifact.manifest.entries:
            self._later(self.run.log_artifact, artifact)


@WRITERS.register_module(name="MMSegWandbHook")
class MMSegWandbWriter(WandbWriter):
    """``WandbWriter`` with the defaults of 0.25's hook: every 50 iterations, 100 images per evaluation."""

    default_interval = 50
    default_images = 100


def init_arguments(run: Mapping[str, Any], init_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``wandb.init``: the user's, and ours where there is none.

    Args:
        run: As ``Writer.start`` has it; after a resume (``iter`` above 0) the former run is gone on with.
        init_kwargs: The user's, from the config. They and the ``WANDB_*`` variables win.
    """
    config = run["config"]
    ours: dict[str, Any] = {"config": config.to_dict() if hasattr(config, "to_dict") else dict(config)}
    if "WANDB_DIR" not in os.environ:
        ours["dir"] = str(run["work_dir"])
    if run["iter"] and "WANDB_RUN_ID" not in os.environ:
        former = former_run(run)
        if former.get("id"):
            ours.update(id=former["id"], resume="allow")
        for key in ("project", "entity"):
            if former.get(key) and f"WANDB_{key.upper()}" not in os.environ:
                ours[key] = former[key]
    arguments = {**ours, **init_kwargs}
    settings = arguments.get("settings") or {}
    if isinstance(settings, Mapping):
        arguments["settings"] = {**_our_settings(), **settings}
    return arguments


def former_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``wandb_run.json`` says, of the work folder or beside the checkpoint resumed from."""
    folders = [run["work_dir"], os.path.dirname(str(run["config"].get("resume_from") or ""))]
    for folder in filter(None, folders):
        try:
            with open(os.path.join(folder, RUN_FILE), encoding="utf-8") as file:
                return dict(json.load(file))
        except (OSError, ValueError, TypeError):
            continue
    return {}


def files_to_upload(work_dir: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the files below ``work_dir`` that end in one of ``suffixes``, but for hidden and wandb's own."""
    found: list[str] = []
    for folder, folders, names in os.walk(work_dir):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "wandb")
        found += [os.path.join(folder, n) for n in sorted(names) if n.endswith(suffixes) and n[0] != "."]
    return found


def _our_settings() -> dict[str, Any]:
    import wandb

    known = getattr(wandb.Settings, "model_fields", None) or getattr(wandb.Settings, "__annotations__", {})
    return {k: v for k, v in _SETTINGS.items() if k in known and f"WANDB_{k.upper()}" not in os.environ}


@contextlib.contextmanager
def _nobody_to_ask() -> Iterator[None]:
    """Without a terminal to ask on, a missing key is an error and not a question."""
    stdin, sys.stdin = sys.stdin, io.StringIO()
    try:
        yield
    finally:
        sys.stdin = stdin


def _image(wandb: Any, example: Example, labels: dict[int, str]) -> Any:
    masks = {
        name: {"mask_data": label_map, "class_labels": labels}
        for name, label_map in (("prediction", example.prediction), ("ground_truth", example.truth))
    }
    return wandb.Image(example.image[:, :, ::-1], caption=example.name, masks=masks, file_type="jpg")
