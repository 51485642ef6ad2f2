"""The frozen model that a distiller learns from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmseg.models.distillers.layers import LayerMaps, build_aside, run_to_heads
from mmseg.models.layers import revert_sync_batchnorm
from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


class Teacher:
    """A trained segmentor in evaluation mode, without gradients.

    It is no module on purpose: what is no part of the distiller is neither trained nor saved, averaged,
    synchronised between processes or put into training mode. Its weights are read when they are first
    needed, so that testing needs no checkpoint of it.

    Args:
        settings: The ``model`` section of its config.
        checkpoint: Its weights: a path, an address or a name.
        names: The layers whose maps are asked for.
        exact: Compute by MMSegmentation 0.25's sequence of operators.

    Attributes:
        model: The segmentor; None before :meth:`load`.
    """

    def __init__(
        self, settings: dict[str, Any], checkpoint: str, names: Sequence[str], exact: bool = False
    ) -> None:
        self.settings, self.checkpoint, self.names, self.exact = settings, checkpoint, list(names), exact
        self.model: nn.Module | None = None

    def load(self) -> None:
        """Build the model and read its weights; once.

        Raises:
            UserError: the checkpoint cannot be read, or belongs to another model.
        """
        if self.model is not None:
            return
        try:
            weights = state_dict_of(read_checkpoint(self.checkpoint), self.checkpoint)
            model = revert_sync_batchnorm(build_aside(self.settings))
            load_into(model, weights, purpose="test", source=self.checkpoint)
        except UserError as error:
            raise UserError(f"model.teacher: {error}") from None
        if self.exact:
            model.exact = True
        self.maps = LayerMaps(model, self.names, "teacher")
        self.model = model.requires_grad_(False).eval()

    @contextmanager
    def looking_at(self, img: Tensor, img_metas: Any) -> Iterator[LayerMaps]:
        """Run the model on a batch (N, C, H, W); inside the block its maps are there by name."""
        self.load()
        if next(self.model.parameters()).device != img.device:
            planes = img.is_contiguous()
            layout = torch.preserve_format if planes else torch.channels_last
            self.model = self.model.to(img.device, memory_format=layout)
        with self.maps.recording():
            with torch.no_grad():
                run_to_heads(self.model, img, img_metas, self.names)
            yield self.maps
