"""Registries of data sets and transforms, and what builds a data set or a loader from a config."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from mmseg.datasets.loader import (
    Collate,
    Loader,
    SeededSamples,
    check_temporary_folder,
    collate,
    set_up_worker,
)
from mmseg.datasets.on_error import OnError, read_on_error
from mmseg.datasets.samplers import EpochSampler, EvalSampler, InBatches, TrainSampler
from mmseg.registry import Registry, check_arguments
from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.errors import UserError, near_matches


def _register_all() -> None:
    import mmseg.datasets  # noqa: F401  (its modules register themselves)


DATASETS = Registry("data set", load=_register_all)
PIPELINES = Registry("transform", load=_register_all)
_LISTS = ("img_dir", "ann_dir", "split")  # may be lists, for several data sets in one config


def build_dataset(cfg: dict[str, Any], default_args: dict[str, Any] | None = None) -> Any:
    """Build the data set that ``cfg['type']`` names.

    Args:
        cfg: A dictionary such as ``data.train`` of a config, or a list of them, which are joined in a
            ``ConcatDataset``. So are lists of ``img_dir`` or ``split`` (with one ``ann_dir`` or as many),
            scored each on its own unless ``separate_eval=False``. The ``dataset`` or ``datasets`` of a
            data set of data sets are dictionaries as well. ``on_error`` says what training does about a
            bad sample (``mmseg.datasets.on_error``); it becomes an attribute of the data set.
        default_args: Arguments that ``cfg`` may override, such as ``dict(test_mode=True)``; in a data set
            of data sets they go to the innermost.

    Raises:
        UserError: an unknown type or argument, or a data set that refuses what it is given.
    """
    if isinstance(cfg, list | tuple):
        return _joined(cfg, default_args)
    if not isinstance(cfg, dict):
        return DATASETS.build(cfg, default_args)
    if "on_error" in cfg:
        return _with_on_error(cfg, default_args)
    kind = cfg.get("type")
    entry = DATASETS.get(kind) if isinstance(kind, str) else kind
    inner = [key for key in ("dataset", "datasets") if inspect.isclass(entry) and key in _arguments(entry)]
    if inner:
        args = dict(cfg)
        for key in inner:
            if isinstance(args.get(key), list | tuple) and key == "datasets":
                args[key] = [_built(item, default_args) for item in args[key]]
            elif key in args:
                args[key] = _built(args[key], default_args)
        return DATASETS.build(args)
    if any(isinstance(cfg.get(key), list | tuple) for key in _LISTS):
        separate_eval = cfg.get("separate_eval", True)
        return _joined(_one_by_one(cfg), default_args, separate_eval=separate_eval)
    if inspect.isclass(entry):
        _check_inherited_arguments(entry, {**(default_args or {}), **cfg})
    return DATASETS.build(cfg, default_args)


def _with_on_error(cfg: dict[str, Any], default_args: dict[str, Any] | None) -> Any:
    on_error = read_on_error(cfg["on_error"], f"{cfg.get('type')}: on_error")
    if on_error.skip and {**(default_args or {}), **cfg}.get("test_mode"):
        raise UserError(
            f"{cfg.get('type')}: on_error='skip' is for data.train; a score without some images is another "
            "score, so an evaluation always ends at a bad one"
        )
    dataset = build_dataset({key: value for key, value in cfg.items() if key != "on_error"}, default_args)
    dataset.on_error = on_error
    return dataset


def _joined(cfgs: Sequence[Any], default_args: dict[str, Any] | None, **kwargs: Any) -> Any:
    return DATASETS.build(
        {"type": "ConcatDataset", "datasets": [_built(cfg, default_args) for cfg in cfgs], **kwargs}
    )


def _built(value: Any, default_args: dict[str, Any] | None) -> Any:
    """Build what is a config or a list of them; a data set is taken as it is."""
    return build_dataset(value, default_args) if isinstance(value, dict | list | tuple) else value


def _one_by_one(cfg: dict[str, Any]) -> list[dict[str, Any]]:
    """Turn lists of ``img_dir``, ``ann_dir`` and ``split`` into as many configs."""
    lists = {
        key: cfg[key] for key in ("img_dir", "ann_dir", "split") if isinstance(cfg.get(key), list | tuple)
    }
    lengths = {key: len(value) for key, value in lists.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values() or set(lists) == {"ann_dir"}:
        told = ", ".join(f"{length} of `{key}`" for key, length in lengths.items())
        raise UserError(
            f"{cfg.get('type')}: lists of folders and split files go together one by one, but there are "
            f"{told}; give each list the same length, `ann_dir` only with a list of `img_dir` or `split`"
        )
    number = next(iter(lengths.values()))
    rest = {key: value for key, value in cfg.items() if key != "separate_eval"}
    return [{**rest, **{key: values[i] for key, values in lists.items()}} for i in range(number)]


def build_dataloader(
    dataset: Dataset,
    samples_per_gpu: int,
    workers_per_gpu: int,
    num_gpus: int = 1,
    dist: bool = True,
    shuffle: bool = True,
    seed: int | None = None,
    drop_last: bool = False,
    pin_memory: bool = True,
    persistent_workers: bool = True,
    *,
    start_iter: int | None = None,
    epoch: int = 0,
    with_truth: bool = False,
    on_error: OnError | None = None,
    check: bool = False,
    **kwargs: Any,
) -> DataLoader:
    """Build a loader: endless for training, or over a data set once.

    What a batch holds depends on (seed, epoch, world size, rank) and its place in the epoch only; not
    on the number of workers, and not on where a run was resumed.

    Args:
        dataset: A data set of this package, or any other with ``__getitem__`` and ``__len__``.
        samples_per_gpu: Samples in a batch.
        workers_per_gpu: Processes that load; 0 loads in this one.
        num_gpus: Without ``dist``, multiplies samples and workers.
        dist: Take this process's share, by its rank; without, everything.
        shuffle: In random order. Without it, and without ``start_iter``, every index of the data set
            comes exactly once over all ranks (evaluation).
        seed: Of the order and of every random choice in a sample; None means 0.
        drop_last: Leave out the last batch where it is smaller. With several ranks and ``shuffle`` it is
            always left out, so that all ranks take the same number of steps.
        pin_memory: Page-locked batches, for asynchronous copies; only where there is CUDA.
        persistent_workers: Keep the workers between two passes.
        start_iter: The training iteration (0-based, over all epochs) to begin with; the loader is then
            endless. None: one pass, over ``epoch``.
        epoch: The epoch of a single pass.
        with_truth: Batches also hold ``index`` (list of int) and ``gt``, the label maps (H, W) of
            ``dataset.get_gt_seg_map_by_idx``, read in the workers.
        on_error: Whether another sample takes the place of a bad one; None ends there. The loader's
            ``on_skips`` is given what was replaced, and logs it by default.
        check: Refuse, in the worker, samples that are not finite, empty or of another type, and labels that
            are no class (``mmseg.datasets.check_sample``).
        kwargs: Further arguments of ``torch.utils.data.DataLoader``, such as ``prefetch_factor``.

    Returns:
        A loader of batches: ``img`` (B, 3, H, W) float32, ``gt_semantic_seg`` (B, 1, H, W) int64 and
        ``img_metas`` (list of dict); for test samples lists of these, one item per augmentation. A
        ``UserError`` of a worker is raised where the batch is taken.

    Raises:
        UserError: a size below what is possible, or fewer samples than one batch for each rank.
    """
    for name, number, least in (
        ("samples_per_gpu", samples_per_gpu, 1),
        ("workers_per_gpu", workers_per_gpu, 0),
        ("num_gpus", num_gpus, 1),
    ):
        if not isinstance(number, int) or number < least:
            raise UserError(f"`{name}` must be a whole number of at least {least}, not {number!r}")
    if kwargs:
        check_arguments(DataLoader, {"dataset": None, **kwargs})
    rank, world_size = (get_rank(), get_world_size()) if dist else (0, 1)
    batch_size = samples_per_gpu if dist else samples_per_gpu * num_gpus
    workers = workers_per_gpu if dist else workers_per_gpu * num_gpus
    seed = 0 if seed is None else seed
    length = len(dataset)  # type: ignore[arg-type]

    if start_iter is None and not shuffle:
        order = EvalSampler(length=length, rank=rank, world_size=world_size)
        batches: Any = InBatches(order, batch_size=batch_size, epoch=epoch, drop_last=drop_last)
    else:
        batches = TrainSampler(length, batch_size, seed, rank, world_size, shuffle, start_iter or 0)
        if start_iter is None:
            batches = EpochSampler(batches, epoch=epoch, drop_last=drop_last)

    if workers > 0:
        check_temporary_folder()
    else:
        for name in ("prefetch_factor", "timeout", "multiprocessing_context"):
            kwargs.pop(name, None)
    # Starting a pass draws a number; from a generator of its own, so that the caller's stays as it is.
    kwargs.setdefault("generator", torch.Generator().manual_seed(seed % 2**63))
    return Loader(
        SeededSamples(dataset, seed=seed, with_truth=with_truth, on_error=on_error, check=check),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=Collate(kwargs.pop("collate_fn", None) or collate),
        pin_memory=pin_memory and torch.cuda.is_available(),
        persistent_workers=persistent_workers and workers > 0,
        worker_init_fn=partial(set_up_worker, then=kwargs.pop("worker_init_fn", None)),
        **kwargs,
    )


def _arguments(entry: type) -> list[str]:
    """The arguments that ``entry`` or the classes that it passes ``**kwargs`` on to take."""
    known: list[str] = []
    for base in entry.__mro__:
        init = base.__dict__.get("__init__")
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        known += [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return list(dict.fromkeys(known))


def _check_inherited_arguments(entry: type, args: dict[str, Any]) -> None:
    """Refuse an argument that neither ``entry`` nor the classes that it passes ``**kwargs`` on to take."""
    known = _arguments(entry)
    for name in args:
        if name != "type" and name not in known:
            raise UserError(
                f"{entry.__name__} takes no argument `{name}`{near_matches(name, known)}"
                f" (it takes: {', '.join(known)})"
            )
