"""Channel-wise distillation of segmentors (Shu et al., 2021, "Channel-wise Knowledge Distillation for Dense
Prediction")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.builder import SEGMENTORS
from mmseg.models.distillers.layers import LayerMaps, channels_of
from mmseg.models.distillers.sources import student_settings, teacher_settings
from mmseg.models.distillers.teacher import Teacher
from mmseg.models.layers.resize import at_least_float32, resize_unless_same
from mmseg.models.losses import channel_wise_divergence
from mmseg.models.module import InitCfg
from mmseg.models.segmentors.base import Metas
from mmseg.models.segmentors.encoder_decoder import EncoderDecoder
from mmseg.registry import check_arguments
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger

LOGITS = "decode_head.conv_seg"


@dataclass(frozen=True)
class Pair:
    """Two layers whose maps are compared.

    Attributes:
        student_layer, teacher_layer: Names, see :class:`LayerMaps`; by default the logits before they are
            resized.
        tau: Temperature, see :func:`channel_wise_divergence`.
        weight: Of this divergence in the loss. The paper has 3 for logits and 50 for feature maps.
    """

    student_layer: str = LOGITS
    teacher_layer: str = LOGITS
    tau: float = 4.0
    weight: float = 3.0

    def __post_init__(self) -> None:
        if not self.tau > 0 or not self.weight >= 0:
            raise UserError(
                f"distillation: tau must be positive and weight must not be negative, not {self.tau} and"
                f" {self.weight}"
            )


class Align(nn.Conv2d):
    """A 1x1 convolution from the student's channels to the teacher's. No state dict holds it: it is trained
    with the student, but the student works without it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        with torch.random.fork_rng(devices=[]):  # the student starts as it would without a teacher
            super().__init__(in_channels, out_channels, kernel_size=1)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Save nothing."""

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Expect nothing."""


@SEGMENTORS.register_module()
class ChannelWiseDistiller(EncoderDecoder):
    """A student that in training is drawn to a frozen teacher too.

    It *is* the student: parts, names of weights, checkpoints, testing and inference are those of the
    student's own config. Only the losses of training have more entries: ``distill.loss_cwd``, or with
    several pairs ``distill_0.loss_cwd``, ``distill_1.loss_cwd``, ... In evaluation mode (validation losses)
    the teacher plays no part.

    Where two maps differ in channels, the student's goes through a 1x1 convolution (``align``), which is
    trained and kept in checkpoints for resuming, outside of the ``state_dict``; where they differ in size,
    it is resized bilinearly to the teacher's.

    Args:
        student: ``dict(cfg=...)`` with the path of a config or with its ``model`` section (an
            ``EncoderDecoder``), or one of these two directly.
        teacher: ``dict(cfg=..., checkpoint=...)``; ``checkpoint`` holds the weights of the trained
            teacher. Paths start from the working folder or else from the repository.
        distillation: One or several pairs of layers, dictionaries of :class:`Pair`'s fields; by default
            the logits.
        train_cfg, test_cfg, pretrained, init_cfg, exact: Of the student, in place of what its config says;
            ``exact`` of the teacher too.

    Raises:
        UserError: a config that cannot be read, or a layer that does not exist or gives no map.
    """

    def __init__(
        self,
        student: Any,
        teacher: dict[str, Any],
        distillation: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        pretrained: str | None = None,
        init_cfg: InitCfg = None,
        exact: bool = False,
    ) -> None:
        settings = student_settings(student)
        kind = settings.pop("type")
        if SEGMENTORS.get(str(kind)) is not EncoderDecoder:
            raise UserError(f"model.student: the student is an EncoderDecoder, not a {kind}")
        own = {"train_cfg": train_cfg, "test_cfg": test_cfg, "pretrained": pretrained, "init_cfg": init_cfg}
        settings |= {name: value for name, value in own.items() if value is not None}
        settings["exact"] = exact or settings.get("exact", False)
        check_arguments(EncoderDecoder, settings)
        super().__init__(**settings)

        self.pairs = pairs_of(distillation)
        theirs, checkpoint = teacher_settings(teacher)
        names = [pair.student_layer for pair in self.pairs], [pair.teacher_layer for pair in self.pairs]
        # Hooks are set when training begins: until then layers may be replaced (SyncBN on one device).
        self.student_maps: LayerMaps | None = None
        self.teacher = Teacher(theirs, checkpoint, names[1], exact)
        channels = (
            channels_of({"type": "EncoderDecoder", **settings}, names[0], "student", exact),
            channels_of(theirs, names[1], "teacher", exact),
        )
        self._add_aligns(*channels)

    def _add_aligns(self, ours: Mapping[str, int], theirs: Mapping[str, int]) -> None:
        aligns = {}
        for i, pair in enumerate(self.pairs):
            size = ours[pair.student_layer], theirs[pair.teacher_layer]
            if size[0] != size[1]:
                aligns[str(i)] = Align(*size)
                get_root_logger().info(
                    f"distillation: the student's `{pair.student_layer}` ({size[0]} channels) goes through a"
                    f" 1x1 convolution to be compared with the teacher's `{pair.teacher_layer}` ({size[1]})"
                )
        if aligns:
            self.align = nn.ModuleDict(aligns)

    def init_weights(self) -> None:
        """Draw or load the student's weights, and read the teacher's."""
        super().init_weights()
        self.teacher.load()

    def forward_train(self, img: Tensor, img_metas: Metas, gt_semantic_seg: Tensor) -> dict[str, Tensor]:
        """The student's losses and, in training mode, the divergences from the teacher."""
        if not self.training:
            return super().forward_train(img, img_metas, gt_semantic_seg)
        if self.student_maps is None:
            self.student_maps = LayerMaps(self, [pair.student_layer for pair in self.pairs], "student")
        with self.student_maps.recording(), self.teacher.looking_at(img, img_metas) as teacher_maps:
            losses = super().forward_train(img, img_metas, gt_semantic_seg)
            for i, pair in enumerate(self.pairs):
                name = "distill" if len(self.pairs) == 1 else f"distill_{i}"
                losses[f"{name}.loss_cwd"] = self._divergence(i, pair, teacher_maps)
        return losses

    def _divergence(self, index: int, pair: Pair, teacher_maps: LayerMaps) -> Tensor:
        ours, theirs = self.student_maps[pair.student_layer], teacher_maps[pair.teacher_layer]
        align = getattr(self, "align", {})
        if str(index) in align:
            ours = align[str(index)](ours)
        ours = resize_unless_same(at_least_float32(ours), theirs.shape[2:], "bilinear", align_corners=False)
        return pair.weight * channel_wise_divergence(ours, theirs, pair.tau)

    def training_state(self) -> dict[str, Tensor]:
        """What a resume needs beside the ``state_dict``: the weights of ``align``."""
        return {name: p.detach() for name, p in self.named_parameters() if name.startswith("align.")}

    @torch.no_grad()
    def load_training_state(self, saved: Mapping[str, Tensor]) -> None:
        """Go on with what ``training_state`` gave.

        Raises:
            UserError: it belongs to other pairs of layers.
        """
        own = {name: p for name, p in self.named_parameters() if name.startswith("align.")}
        shapes = [{name: tuple(t.shape) for name, t in part.items()} for part in (own, saved)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"the checkpoint was distilled through other convolutions: it has {shapes[1] or 'none'}, the"
                f" model {shapes[0] or 'none'}; resume with the `distillation` that it was trained with"
            )
        for name, parameter in own.items():
            parameter.copy_(saved[name])

    def extra_repr(self) -> str:
        return f"teacher={self.teacher.checkpoint!r}"


def pairs_of(distillation: Any) -> list[Pair]:
    """The pairs that the config's ``distillation`` describes; the logits if it is None.

    Raises:
        UserError: it is no dictionary nor a list of them, or has an unknown key or a value out of range.
    """
    entries = [{}] if distillation is None else distillation
    entries = [entries] if isinstance(entries, Mapping) else entries
    if (
        not isinstance(entries, list | tuple)
        or not entries
        or not all(isinstance(e, Mapping) for e in entries)
    ):
        raise UserError(f"model.distillation is a list of dictionaries, one per pair, not {distillation!r}")
    known = [field.name for field in fields(Pair)]
    for entry in entries:
        for key in entry:
            if key not in known:
                raise UserError(
                    f"model.distillation takes no `{key}`{near_matches(key, known)} (it takes:"
                    f" {', '.join(known)})"
                )
    return [Pair(**entry) for entry in entries]
