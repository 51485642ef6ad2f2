"""The weights that a run starts from: ``load_from``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.errors import UserError
from mmseg.utils.load_weights import LoadReport, own_state_dict
from mmseg.utils.logger import get_root_logger
from mmseg.utils.transfer import class_names_of, matching_classes, transfer_rows


def start_from(
    model: nn.Module,
    source: str,
    classes: Sequence[str] | None = None,
    transfer_classes: bool | Mapping[str, str] | None = None,
) -> LoadReport:
    """Load the weights of ``source`` into ``model``, which may be for other classes.

    What does not fit keeps the model's own initial values, and the log says what that is.

    Args:
        model: May be wrapped or compiled.
        source: A path, an address or a name.
        classes: Names of the data set's classes.
        transfer_classes: Let the classifier's rows of classes that the checkpoint knows too start from
            theirs: True matches equal names, a dictionary adds pairs of (own name, its name there).

    Raises:
        UserError: the file cannot be had or fits nowhere; or ``transfer_classes`` is set and there are no
            names, or none that agree.
    """
    logger = get_root_logger()
    source = str(source)
    checkpoint = read_checkpoint(source)
    weights = state_dict_of(checkpoint, source)
    theirs, ours = class_names_of(checkpoint), list(classes or ())
    if transfer_classes:
        if not theirs or not ours:
            whose = source if not theirs else "the data set"
            raise UserError(
                f"transfer_classes needs the class names of {whose}, which has none; leave it out"
            )
        matches = matching_classes(theirs, ours, transfer_classes, source)
        weights = transfer_rows(weights, own_state_dict(model), matches, (len(theirs), len(ours)))
        from_there = [
            name if name == theirs[matches[label]] else f"{name} (there {theirs[matches[label]]})"
            for label, name in enumerate(ours)
            if label in matches
        ]
        anew = [name for label, name in enumerate(ours) if label not in matches]
        logger.info(
            f"transfer_classes: {len(from_there)} of {len(ours)} classes start from those of {source}:"
            f" {', '.join(from_there)}; anew: {', '.join(anew) or 'none'}"
        )
    elif theirs and len(theirs) == len(ours) and theirs != ours:
        first = next(label for label in range(len(ours)) if theirs[label] != ours[label])
        logger.warning(
            f"{source} has as many classes as the data set, but others: its class {first} is"
            f" {theirs[first]!r}, the data set's {ours[first]!r}; its classifier is taken as it is"
            " (transfer_classes=True goes by the names)"
        )
    return load_into(model, weights, purpose="load_from", source=source, logger=logger)
