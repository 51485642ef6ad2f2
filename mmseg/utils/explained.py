"""Errors of torch that a user can do something about, as one line."""

from __future__ import annotations

from mmseg.utils.oom import explain_out_of_memory


def explain(error: BaseException) -> str | None:
    """One line with what to do, or None for an error that is not known here: that one is a bug.

    Args:
        error: As it was caught, with its traceback.
    """
    return explain_out_of_memory(error) or _one_value_per_channel(error)


def _one_value_per_channel(error: BaseException) -> str | None:
    """Batch normalisation of a single value, which has no spread: one image, and a map of 1x1."""
    text = str(error)
    if (
        not isinstance(error, ValueError)
        or "Expected more than 1 value per channel when training" not in text
    ):
        return None
    size = text.partition("input size ")[2].removeprefix("torch.Size(").strip("()[] ")
    return (
        f"batch normalisation cannot train on one value per channel: a map of [{size}] (images, channels,"
        " height, width) has a single one; set data.samples_per_gpu to 2 or more, enlarge crop_size, train on"
        " several GPUs with norm_cfg=dict(type='SyncBN'), or take norm_cfg=dict(type='GN', num_groups=32)"
    )
