"""The report of one run or several: find their results, evaluate what is missing, write one page."""

from __future__ import annotations

import hashlib
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmseg.config import Config
from mmseg.config.literal import literal_config
from mmseg.core.evaluation.run_results import RunResults, load_results, save_results
from mmseg.engine.run_log import read_run_log
from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.distributed import named_device
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.visualization.report import build_page, check_numbers

from .report_runs import RESULTS_FILE, Source, find_source, read_label_maps
from .setup import prepare_config

NOT_EVALUATED = "the run was not evaluated (--no-evaluate)"


def report_from_args(args: Namespace) -> str:
    """Run ``tools/report.py``; returns the path of the page.

    Raises:
        UserError: a mistake in the arguments, a run, its config, data or checkpoint.
    """
    for option in ("config", "checkpoint"):
        if getattr(args, option) and len(args.runs) > 1:
            raise UserError(f"--{option} is of one run, but {len(args.runs)} are given")
    if args.names and len(args.names) != len(args.runs):
        raise UserError(
            f"--names gives {len(args.names)} names for {len(args.runs)} run{'s' * (len(args.runs) != 1)}"
        )
    sources = [find_source(run, config=args.config, checkpoint=args.checkpoint) for run in args.runs]
    for source, name in zip(sources, args.names or _distinct([s.name for s in sources]), strict=True):
        source.name = name
    # What is wrong with the page is said before minutes go into an evaluation.
    check_numbers(args.images, args.rounds, int(args.max_mb * 1e6))
    shape = _shape(args.shape)
    out = args.out or os.path.join(sources[0].folder, "report.html")
    _check_writable(out)
    device = named_device(args.device)
    results = [
        results_of(
            source,
            device=device,
            evaluate=not args.no_evaluate,
            again=args.evaluate_again,
            options=args.cfg_options,
            shape=shape,
        )
        for source in sources
    ]
    return write_report(
        results,
        out,
        title=args.title,
        images=args.images,
        rounds=args.rounds,
        max_megabytes=args.max_mb,
    )


def write_report(
    results: Sequence[RunResults],
    out: str,
    *,
    title: str | None = None,
    images: int = 6,
    rounds: int = 2000,
    max_megabytes: float = 10.0,
) -> str:
    """Write the page of one run or several to ``out`` and return its path.

    Args:
        results: From :func:`results_of`.
        title: Of the page; by default the names of the runs.
        images: How many of the worst and how many of the best images are shown of each run.
        rounds: Resamples of the bootstrap.
        max_megabytes: Of the page; images are left out where it would be larger.

    Raises:
        UserError: an argument out of range, or the file cannot be written.
    """
    page = build_page(results, title=title, images=images, rounds=rounds, max_bytes=int(max_megabytes * 1e6))
    _check_writable(out)
    with open(out, "w", encoding="utf-8") as file:
        file.write(page)
    get_root_logger().info(f"the report is {out} ({len(page.encode()) / 1e6:.1f} MB); open it in a browser")
    return out


def _check_writable(out: str) -> None:
    """Make the folder of ``out`` and see whether the file can be written; nothing is left of the try."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
        there = os.path.exists(out)
        with open(out, "a", encoding="utf-8"):
            pass
        if not there:
            os.remove(out)
    except OSError as error:
        raise UserError(
            f"cannot write the report to {out}: {error.strerror or error}; choose another place with --out"
        ) from None


def results_of(
    source: Source,
    *,
    device: torch.device,
    evaluate: bool = True,
    again: bool = False,
    options: Mapping[str, Any] | None = None,
    shape: tuple[int, int] | None = None,
) -> RunResults:
    """The results of a run: those that are there where they fit, else from one pass over the test set.

    Args:
        source: From ``find_source``.
        device: To evaluate on.
        evaluate: Whether a pass over the test set is allowed; without, what is there is taken.
        again: Evaluate although there are fitting results.
        options: Of ``--cfg-options``.
        shape: (h, w) at which the cost is counted; by default the size at which the run was tested.

    Raises:
        UserError: what is needed for an evaluation is not there, or wrong.
    """
    logger = get_root_logger()
    if source.fixed and not again:
        results = load_results(source.results)
    elif source.maps is not None:
        from .report_evaluation import collect_label_maps

        cfg = _config_of(source, options)
        results = collect_label_maps(cfg, read_label_maps(source.maps), name=source.name)
        _add_cost(results, cfg, shape)
    elif evaluate:
        results = _evaluated(source, device, again, options, shape)
    elif source.results is not None:
        results = load_results(source.results)
        if source.checkpoint and results.about.get("checkpoint_stamp") != _stamp(source.checkpoint):
            logger.warning(f"{source.results} is from another state of {source.checkpoint}")
    else:
        results = RunResults(source.name, scores=(source.scores or {}).get("metric", {}))
        results.missing = {key: NOT_EVALUATED for key in ("images", "confusion", "calibration", "places")}
        results.about = {k: v for k, v in (source.scores or {}).items() if isinstance(v, str)}
    results.name = source.name
    curves = read_run_log(source.folder) if source.maps is None else {}
    results.curves = curves or results.curves
    if not results.curves:
        results.missing["curves"] = f"no *.log.json or train.csv in {source.folder}"
    if shape and results.about.get("config_text") and tuple(results.about.get("cost_size") or ()) != shape:
        text_of = f"the config in {source.results or source.folder}"
        _add_cost(results, literal_config(str(results.about["config_text"]), text_of), shape)
    return results


def _evaluated(
    source: Source,
    device: torch.device,
    again: bool,
    options: Mapping[str, Any] | None,
    shape: tuple[int, int] | None,
) -> RunResults:
    from .report_evaluation import evaluate_for_report

    logger = get_root_logger()
    if source.checkpoint is None:
        raise UserError(
            f"{source.folder} holds no checkpoint to evaluate; give one with --checkpoint, or report on what "
            "is "
            "there with --no-evaluate"
        )
    if not os.path.isfile(source.checkpoint):
        raise UserError(f"checkpoint {source.checkpoint} does not exist")
    cfg = _config_of(source, options)
    stamp = {"checkpoint_stamp": _stamp(source.checkpoint), "config_stamp": _config_stamp(cfg)}
    path = os.path.join(source.folder, RESULTS_FILE)
    if os.path.isfile(path) and not again:
        try:
            results = load_results(path)
        except UserError as error:
            logger.info(f"{error}; evaluating anew")
        else:
            if all(results.about.get(key) == value for key, value in stamp.items()):
                logger.info(f"taking the evaluation of {results.about.get('date')} from {path}")
                return results
            logger.info(f"{path} is of another checkpoint or config; evaluating anew")
    logger.info(f"evaluating {source.checkpoint} on {device}, once; the result is kept in {path}")
    cfg.model.pretrained = None
    results = evaluate_for_report(cfg, source.checkpoint, name=source.name, device=device)
    results.curves = read_run_log(source.folder)
    results.about |= stamp | {"config": source.config, "config_text": cfg.pretty_text}
    _add_cost(results, cfg, shape)
    try:
        save_results(results, path)
    except OSError as error:
        logger.warning(f"cannot keep the evaluation in {path}: {error.strerror or error}")
    return results


def _config_of(source: Source, options: Mapping[str, Any] | None) -> Config:
    if source.config is not None:
        return prepare_config(source.config, dict(options or {}))
    text = (read_checkpoint(source.checkpoint).get("meta") or {}).get("config") if source.checkpoint else None
    if not isinstance(text, str):
        raise UserError(
            f"{source.folder} holds no config (*.py) and its checkpoint none either; give one with --config"
        )
    cfg = literal_config(text, f"the config in {source.checkpoint}")
    if options:
        cfg.merge_from_dict(dict(options))
    return cfg


def _add_cost(results: RunResults, cfg: Config, shape: tuple[int, int] | None) -> None:
    """Count multiply-adds and parameters; a model that cannot be counted says why in the report."""
    from .cost import count_cost

    size = shape or results.about.get("input_size")
    if size is None:
        results.missing["cost"] = "the size of the images is not known; give it with --shape H W"
        return
    try:
        cost = count_cost(
            {**cfg.model, "test_cfg": cfg.model.get("test_cfg") or cfg.get("test_cfg")}, tuple(size)
        )
    except UserError as error:
        results.missing["cost"] = str(error)
        return
    results.missing.pop("cost", None)
    results.about |= {"macs": cost.macs, "params": cost.params, "cost_size": list(size)}


def _stamp(path: str) -> list[int]:
    """What changes when a checkpoint is written anew: its size and its time."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _config_stamp(cfg: Config) -> str:
    """A hash of what the label maps depend on, besides the checkpoint."""
    parts = [cfg.model, cfg.data.get("test"), cfg.get("test_cfg"), cfg.get("fp16")]
    text = Config({str(i): part for i, part in enumerate(parts)}).pretty_text
    return hashlib.sha256(text.encode()).hexdigest()


def _distinct(names: list[str]) -> list[str]:
    """The names, equal ones numbered."""
    return [
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]


def _shape(values: Sequence[str] | None) -> tuple[int, int] | None:
    if values is None:
        return None
    from .cost import parse_shape

    return parse_shape(values)
