"""Known keys of a config, and the check for unknown ones.

The tables hold what MMSegmentation 0.25 (and the mmcv 1.x runner beneath it) accepts, and what this
toolbox adds; a new key is one word here. ``model``, the data sets, ``optimizer`` and ``custom_hooks``
are not listed: their keys are the arguments of registered classes, which the registries check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmseg.utils.errors import UserError, near_matches

if TYPE_CHECKING:
    from mmseg.config import Config


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOP_LEVEL = _words("""
    model data optimizer optimizer_config lr_config momentum_config runner evaluation checkpoint_config
    log_config customized_log_config log_level workflow load_from resume_from auto_resume custom_hooks
    custom_imports fp16 cudnn_benchmark dist_params work_dir gpu_ids seed deterministic device
    find_unused_parameters total_iters total_epochs val_interval opencv_num_threads mp_start_method
    compile channels_last ema early_stopping frozen_parameters profiler_config task transfer_classes
    divergence
""")
# Variables of a file's own that happen to be one letter away from one of these.
VARIABLES = _words("""
    mode modes models modal date datas bf16 gpu_id seeds devices runners optimizers need feed speed seen
    send compiled tasks mask
""")

LOADER = """
    samples_per_gpu workers_per_gpu num_gpus dist shuffle seed drop_last pin_memory pin_memory_device
    persistent_workers prefetch_factor timeout multiprocessing_context
"""
WARMUP = "policy type by_epoch warmup warmup_iters warmup_ratio warmup_by_epoch"
LOGGER = "type interval ignore_last reset_flag by_epoch"

# Sections that have the same keys whatever their `type`.
SECTIONS = {
    "data": _words(LOADER + "train val test train_dataloader val_dataloader test_dataloader"),
    "data.train_dataloader": _words(LOADER),
    "data.val_dataloader": _words(LOADER),
    "data.test_dataloader": _words(LOADER),
    "optimizer_config.grad_clip": _words("max_norm norm_type error_if_nonfinite foreach"),
    "evaluation": _words("""
        interval start by_epoch save_best rule greater_keys less_keys dynamic_intervals test_fn out_dir
        file_client_args efficient_test pre_eval broadcast_bn_buffer tmpdir gpu_collect metric logger
        imgfile_prefix opacity show priority nan_to_num beta format_only classwise val_loss
    """),
    "checkpoint_config": _words("""
        type interval by_epoch save_optimizer out_dir max_keep_ckpts save_last sync_buffer file_client_args
        filename_tmpl create_symlink meta priority
    """),
    "log_config": _words("interval hooks"),
    "customized_log_config": _words("interval hooks"),
    "fp16": _words("type dtype loss_scale grad_clip coalesce bucket_size_mb distributed enabled"),
    "dist_params": _words("""
        backend port init_method timeout world_size rank store group_name pg_options device_id start_timeout
        strategy min_params
    """),
    "profiler_config.schedule": _words("wait warmup active repeat skip_first"),
    "custom_imports": _words("imports allow_failed_imports"),
    "compile": _words("enabled backend mode fullgraph dynamic options"),
    "ema": _words("enabled momentum interval warm_up"),
    "early_stopping": _words("enabled monitor patience min_delta rule"),
    "divergence": _words("on_nonfinite max_in_a_row capture"),
    "profiler_config": _words("""
        type enabled by_epoch profile_iters activities schedule on_trace_ready record_shapes profile_memory
        with_stack with_flops json_trace_path
    """),
}
# Sections whose keys depend on a key of theirs: {section: (that key, {its value: the keys})}. The value
# None stands for its absence; an unlisted value is a class of the user's, whose keys are not known here.
OPTIMIZER_HOOK = "type grad_clip detect_anomalous_params "
FP16_HOOK = "grad_clip type coalesce bucket_size_mb loss_scale distributed "
LAYER_DECAY = "num_layers decay_rate layer_decay_rate decay_type"
VARIANTS = {
    "optimizer_config": (
        "type",
        {
            None: _words(OPTIMIZER_HOOK + FP16_HOOK + "cumulative_iters"),
            "OptimizerHook": _words(OPTIMIZER_HOOK),
            "DistOptimizerHook": _words(OPTIMIZER_HOOK + "coalesce bucket_size_mb"),
            "GradientCumulativeOptimizerHook": _words(OPTIMIZER_HOOK + "cumulative_iters"),
            "Fp16OptimizerHook": _words(FP16_HOOK),
            "GradientCumulativeFp16OptimizerHook": _words(FP16_HOOK + "cumulative_iters"),
        },
    ),
    "lr_config": (
        "policy",
        {
            "fixed": _words(WARMUP),
            "step": _words(WARMUP + " step gamma min_lr"),
            "exp": _words(WARMUP + " gamma"),
            "poly": _words(WARMUP + " power min_lr"),
            "polyrestart": _words(WARMUP + " power min_lr periods restart_weights"),
            "inv": _words(WARMUP + " gamma power"),
            "cosine": _words(WARMUP + " min_lr min_lr_ratio"),
            "cosineannealing": _words(WARMUP + " min_lr min_lr_ratio"),
            "flatcosineannealing": _words(WARMUP + " start_percent min_lr min_lr_ratio"),
            "cosinerestart": _words(WARMUP + " periods restart_weights min_lr min_lr_ratio"),
            "linearannealing": _words(WARMUP + " min_lr min_lr_ratio"),
            "cyclic": _words(WARMUP + " target_ratio cyclic_times step_ratio_up anneal_strategy gamma"),
            "onecycle": _words(
                WARMUP
                + " max_lr total_steps pct_start anneal_strategy div_factor final_div_factor three_phase"
            ),
        },
    ),
    "runner": (
        "type",
        {
            None: _words("max_iters max_epochs constructor meta"),
            "IterBasedRunner": _words("type max_iters max_epochs constructor meta"),
            "EpochBasedRunner": _words("type max_iters max_epochs constructor meta"),
        },
    ),
    "optimizer.paramwise_cfg": (
        "constructor",
        {
            None: _words("""
                custom_keys bias_lr_mult bias_decay_mult norm_decay_mult dwconv_decay_mult
                dcn_offset_lr_mult bypass_duplicate
            """),
            "DefaultOptimizerConstructor": _words("""
                custom_keys bias_lr_mult bias_decay_mult norm_decay_mult dwconv_decay_mult
                dcn_offset_lr_mult bypass_duplicate
            """),
            "LearningRateDecayOptimizerConstructor": _words(LAYER_DECAY),
            "LayerDecayOptimizerConstructor": _words(LAYER_DECAY),
        },
    ),
}
PARAM_MULTIPLIERS = _words("lr_mult decay_mult")
LOG_HOOKS = {
    "TextLoggerHook": _words(f"{LOGGER} interval_exp_name out_dir out_suffix keep_local file_client_args"),
    "WandbLoggerHook": _words(
        f"{LOGGER} init_kwargs commit with_step log_artifact out_suffix define_metric_cfg log_checkpoint "
        "log_checkpoint_metadata num_eval_images"
    ),
    "MMSegWandbHook": _words(
        f"{LOGGER} init_kwargs commit with_step log_artifact out_suffix define_metric_cfg log_checkpoint "
        "log_checkpoint_metadata num_eval_images"
    ),
    "TensorboardLoggerHook": _words(f"{LOGGER} log_dir num_eval_images"),
    "CsvLoggerHook": _words(f"{LOGGER} out_dir"),
    "CSVLoggerHook": _words(f"{LOGGER} out_dir"),
    "MlflowLoggerHook": _words(f"{LOGGER} exp_name tags params log_model"),
    "NeptuneLoggerHook": _words(f"{LOGGER} init_kwargs with_step"),
    "DvcliveLoggerHook": _words(f"{LOGGER} model_file dvclive"),
    "ClearMLLoggerHook": _words(f"{LOGGER} init_kwargs"),
    "SegmindLoggerHook": _words(LOGGER),
    "PaviLoggerHook": _words(
        f"{LOGGER} init_kwargs add_graph img_key add_last_ckpt add_ckpt opt_cfg overwrite_last_ckpt"
    ),
}
LOSS_SCALE = _words("""
    init_scale growth_factor backoff_factor growth_interval enabled mode scale_factor scale_window
""")
SWITCHES = _words("fp16 compile ema early_stopping profiler_config")  # True and False will do as well


def check_config(cfg: Config | Mapping[str, Any]) -> None:
    """Look for keys that nothing reads.

    Inside the sections above an unknown key is an error. At the top level, where files keep variables of
    their own, only a name one slip (a letter more, less, other, or two swapped) from a known key is.

    Raises:
        UserError: in one line, all unknown keys with near matches and the file they stand in.
    """
    by_file: dict[str, list[str]] = {}
    for word, message in (*_top_level(cfg), *_sections(cfg), *_workflow(cfg)):
        by_file.setdefault(_file_with(cfg, word), []).append(message)
    if by_file:
        raise UserError("; ".join(f"{file}: {'; '.join(messages)}" for file, messages in by_file.items()))


def _file_with(cfg: Any, word: str) -> str:
    """The name of the file, among those that a config was read from, that holds ``word``."""
    sources: dict[str, str] = getattr(cfg, "_sources", {})  # only what was read from files has them
    for name, text in reversed(sources.items()):
        if re.search(rf"\b{re.escape(word)}\b", text):
            return name
    return f"{cfg.filename or 'config text'} with its overrides" if sources else "config"


def _top_level(cfg: Any) -> Iterator[tuple[str, str]]:
    for name in cfg:
        if not isinstance(name, str) or name in TOP_LEVEL or name in VARIABLES:
            continue
        if name.strip("_0123456789") in TOP_LEVEL:  # model2, _data: named so on purpose
            continue
        close = sorted(known for known in TOP_LEVEL if len(known) > 3 and one_slip(name, known))
        if close:
            yield name, f"`{name}`: did you mean {' or '.join(f'`{k}`' for k in close)}?"


def _sections(cfg: Any) -> Iterator[tuple[str, str]]:
    for path, known in SECTIONS.items():
        section = _at(cfg, path)
        yield from _shape(path, section)
        yield from _unknown(path, section, known)
    for path, (selector, variants) in VARIANTS.items():
        section = _at(cfg, path)
        yield from _shape(path, section)
        yield from _unknown(path, section, _variant(cfg, path, section, selector, variants))
    for name, options in _mapping(_at(cfg, "optimizer.paramwise_cfg.custom_keys")).items():
        yield from _unknown(f"optimizer.paramwise_cfg.custom_keys.{name}", options, PARAM_MULTIPLIERS)
    for section in ("log_config", "customized_log_config"):
        hooks = _at(cfg, f"{section}.hooks")
        for i, hook in enumerate(hooks if isinstance(hooks, (list, tuple)) else ()):
            yield from _unknown(f"{section}.hooks.{i}", hook, LOG_HOOKS.get(str(_mapping(hook).get("type"))))
    for section in ("fp16", "optimizer_config"):
        yield from _unknown(f"{section}.loss_scale", _at(cfg, f"{section}.loss_scale"), LOSS_SCALE)


def _variant(cfg: Any, path: str, section: Any, selector: str, variants: dict[Any, Any]) -> Any:
    """The keys that ``section`` may have, or None where a class of the user's decides."""
    holder = section if selector != "constructor" else _at(cfg, path.rpartition(".")[0])
    kind = _mapping(holder).get(selector)
    if path == "lr_config":
        kind = kind or str(_mapping(section).get("type", "")).removesuffix("LrUpdaterHook")
        kind = str(kind).lower()
    return variants.get(kind) if kind is None or isinstance(kind, str) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _at(cfg: Any, path: str) -> Any:
    """The value at a dotted path, or None."""
    first, *rest = path.split(".")
    here = cfg.get(first)
    for step in rest:
        here = _mapping(here).get(step)
    return here


def _shape(path: str, section: Any) -> Iterator[tuple[str, str]]:
    """A section is a dictionary or None; some are switches as well. Objects are left to their reader."""
    if isinstance(section, bool) and path in SWITCHES:
        return
    if isinstance(section, (bool, int, float, str, list, tuple)):
        yield path.rpartition(".")[2], f"`{path}` must be a dictionary, not {section!r}"


def _unknown(path: str, section: Any, known: frozenset[str] | None) -> Iterator[tuple[str, str]]:
    if known is None:
        return
    for key in _mapping(section):
        if key not in known:
            slips = [k for k in sorted(known) if one_slip(str(key), k)]
            hint = near_matches(key, slips or sorted(known)).removeprefix("; ")
            hint = hint or f"it is none of {', '.join(sorted(known))}"
            yield str(key), f"unknown key in `{path}`: `{key}`: {hint}"


def _workflow(cfg: Any) -> Iterator[tuple[str, str]]:
    workflow = _at(cfg, "workflow")
    if workflow is None:
        return
    phases = workflow if isinstance(workflow, (list, tuple)) else [None]
    for phase in phases or [None]:
        pair = isinstance(phase, (list, tuple)) and len(phase) == 2
        if not (pair and phase[0] in ("train", "val") and type(phase[1]) is int and phase[1] > 0):
            yield (
                "workflow",
                f"`workflow` is a list like [('train', 1)] or [('train', 500), ('val', 1)], not {workflow!r}",
            )
            return


def one_slip(a: str, b: str) -> bool:
    """Whether one letter inserted, left out or replaced, or two neighbours swapped, turn ``a`` into ``b``."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    if len(a) > len(b):
        a, b = b, a
    i = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) < len(b):
        return a[i:] == b[i + 1 :]
    return a[i + 1 :] == b[i + 1 :] or (a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :])
