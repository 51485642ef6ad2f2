"""From the facts of files to findings about single pairs."""

from __future__ import annotations

from collections.abc import Iterator

from mmseg.datasets.doctor.facts import MISSING, Facts
from mmseg.datasets.doctor.findings import ERROR, WARNING, Finding
from mmseg.datasets.doctor.labels import BAD, IGNORED, Meaning, is_black_and_white
from mmseg.datasets.doctor.listing import Part

_SHOWN = 6  # values of one mask
_LAST_ID = 33  # of the label ids of Cityscapes and KITTI
_TO_BINARY = "if 255 is the foreground, write task = 'binary' in the config, or write 0 and 1 (mask // 255)"


def judge_pair(part: Part, image: str, mask: str | None, seen: Facts, truth: Facts | None) -> list[Finding]:
    """Return what is wrong with one pair.

    Args:
        part: The data set of the pair.
        image, mask: Paths; no mask where the data set has none.
        seen, truth: Their facts.
    """
    found = list(_image(part, image, mask, seen, truth))
    if mask is None or truth is None:
        return found
    if "problem" in truth:
        if truth["problem"] == MISSING:
            if seen.get("problem") != MISSING:
                found.append(_without_mask(part, image, mask))
        else:
            found.append(
                _finding(
                    part, truth["problem"], ERROR, mask, truth["why"], 1, "write the mask again as a PNG"
                )
            )
        return found
    if "size" in seen and seen["size"] != truth["size"]:
        found.append(_sizes(part, image, mask, seen, truth))
    found += _values(part, mask, truth)
    return found


def black_and_white_everywhere(part: Part, truths: list[Facts]) -> bool:
    """Whether every mask of a data set of at most two classes is of 0 and 255, which training refuses."""
    values = [facts["values"] for facts in truths if "values" in facts]
    return (
        Meaning.of(part).values <= 2
        and any(is_black_and_white(v) for v in values)
        and all(set(v) <= {"0", "255"} for v in values)
    )


def judge_black_and_white(part: Part, mask: str, truth: Facts, everywhere: bool) -> Finding | None:
    """Return the finding that a mask holds 0 and 255 where 255 means ignored, so that it shows one class."""
    meaning = Meaning.of(part)
    values = truth.get("values", {})
    if meaning.binary or meaning.reduce_zero_label or not is_black_and_white(values):
        return None
    severity = ERROR if everywhere or meaning.of_value(255) == BAD else WARNING
    what = "means 'ignored' here" if meaning.of_value(255) == IGNORED else "is no class"
    value = f"0 ({values['0']} pixels) and 255 ({values['255']} pixels); 255 {what}"
    if meaning.values <= 2:
        remedy = _TO_BINARY
    else:
        remedy = f"write its classes as {meaning.expected()}, as in the other masks, or remove the pair"
    return _finding(part, "binary_mask", severity, mask, value, values["255"], remedy)


def _image(part: Part, image: str, mask: str | None, seen: Facts, truth: Facts | None) -> Iterator[Finding]:
    problem = seen.get("problem")
    if problem == MISSING:
        remedy = "put the image there, or take its line out of the `split` file"
        yield _finding(part, "missing_image", ERROR, image, "the image does not exist", 1, remedy)
    elif problem is not None:
        remedy = "copy the image again, or remove it" + (" and its mask" if mask else "")
        yield _finding(part, problem, ERROR, image, seen["why"], 1, remedy, (mask,) if mask else ())
    elif seen["constant"]:
        colour = ", ".join(f"{mean:g}" for mean in seen["mean"])
        remedy = "look at it: remove the pair if the camera was covered or the file went wrong"
        w, h = seen["size"]
        yield _finding(part, "constant_image", WARNING, image, f"every pixel is ({colour})", w * h, remedy)
    if truth is not None and mask is not None and "values" in truth and truth["values"]:
        meaning = Meaning.of(part)
        if all(meaning.of_value(int(v)) == IGNORED for v in truth["values"]):
            remedy = "nothing can be learnt or measured from it: label it, or remove the pair"
            pixels = sum(truth["values"].values())
            value = f"all {pixels} pixels are ignored"
            yield _finding(part, "nothing_labelled", WARNING, mask, value, pixels, remedy)


def _without_mask(part: Part, image: str, mask: str) -> Finding:
    remedy = "add the mask, remove the image, or leave it out with a `split` file"
    return _finding(part, "image_without_mask", ERROR, image, f"there is no {mask}", 1, remedy, (mask,))


def _sizes(part: Part, image: str, mask: str, seen: Facts, truth: Facts) -> Finding:
    (w, h), (mask_w, mask_h) = seen["size"], truth["size"]
    value = f"the mask is {mask_w}x{mask_h} (width x height), the image {w}x{h}"
    remedy = "pair the originals; never resize one of them alone"
    if [mask_h, mask_w] == [w, h] and seen.get("orientation", 1) > 4:
        remedy = (
            "the image is turned by its EXIF data: set color_type='color_ignore_orientation' in "
            "LoadImageFromFile, or save it upright"
        )
    return _finding(part, "size_mismatch", ERROR, mask, value, mask_w * mask_h, remedy, (image,))


def _values(part: Part, mask: str, truth: Facts) -> Iterator[Finding]:
    if "values" not in truth:
        yield _colour(part, mask, truth)
        return
    meaning = Meaning.of(part)
    values = {int(value): count for value, count in truth["values"].items()}
    bad = {value: count for value, count in values.items() if meaning.of_value(value) == BAD}
    if bad and not (is_black_and_white(truth["values"]) and not meaning.binary):
        shown = ", ".join(f"{value} ({count} pixels)" for value, count in list(bad.items())[:_SHOWN])
        shown += f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        value = f"{shown}; a value is {meaning.expected()}"
        yield _finding(
            part, "bad_value", ERROR, mask, value, sum(bad.values()), _remedy(meaning, set(values), set(bad))
        )
    if meaning.binary and {1, 255} <= set(values):
        value = f"both 1 ({values[1]} pixels) and 255 ({values[255]} pixels), and each means foreground"
        remedy = "if 255 means 'ignored', write another value there and set `ignore_index` to it"
        yield _finding(part, "bad_value", ERROR, mask, value, values[255], remedy)


def _colour(part: Part, mask: str, truth: Facts) -> Finding:
    if truth["channels"] == 1:
        remedy = "a mask holds whole numbers, one class each: save it as an 8-bit grey PNG"
        return _finding(
            part, "bad_value", ERROR, mask, f"numbers with a fraction ({truth['mode']})", 1, remedy
        )
    value = f"{truth['channels']} channels ({truth['mode']})"
    if truth["mode"] == "P":
        remedy = "it is a palette PNG: set imdecode_backend='pillow' in LoadAnnotations"
    elif truth["grey"]:
        remedy = "its channels are equal: save one of them as an 8-bit grey PNG"
    else:
        remedy = "turn each colour into its class and save an 8-bit grey or palette PNG"
    return _finding(part, "rgb_mask", ERROR, mask, value, truth["channels"], remedy)


def _remedy(meaning: Meaning, values: set[int], bad: set[int]) -> str:
    if meaning.num_classes == 19 and values <= {*range(_LAST_ID + 1), 255}:
        return "these look like Cityscapes or KITTI label ids: convert them with tools/convert_datasets"
    if bad == {meaning.values} and not meaning.reduce_zero_label and not meaning.binary:
        return (
            f"if {meaning.values} means 'unlabelled', write {meaning.ignore_index} there; if the classes "
            "count from 1, set reduce_zero_label=True in the data sets and in LoadAnnotations"
        )
    return "correct the mask or `classes`; write the ignored value into pixels that should not count"


def _finding(
    part: Part,
    kind: str,
    severity: str,
    file: str,
    value: str,
    count: int,
    remedy: str,
    others: tuple[str, ...] = (),
) -> Finding:
    return Finding(kind, severity, (part.split,), file, value, count, remedy, others)
