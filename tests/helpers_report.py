"""Results as an evaluation leaves them, made from drawn label maps instead of a model."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mmseg.apis.report_evaluation import Collector
from mmseg.core.evaluation.run_results import RunResults
from tests.helpers_run import PALETTE

NAMES = ("sky", "road & <path>", "car")


class DrawnDataset:
    """Three classes on noisy images of 40 x 60 with an ignored corner; written where a folder is given."""

    CLASSES = NAMES
    PALETTE = PALETTE
    ignore_index = 255

    def __init__(self, number: int, folder: Path | None = None) -> None:
        self.img_infos = [{"filename": f"frame {i:02d}.png"} for i in range(number)]
        self.folder = folder

    def __len__(self) -> int:
        return len(self.img_infos)

    def truth(self, index: int) -> np.ndarray:
        rng = np.random.default_rng([7, index])
        label = np.zeros((40, 60), np.uint8)
        label[rng.integers(10, 30) :] = 1
        x, y = rng.integers(0, 45), rng.integers(5, 30)
        label[y : y + 8, x : x + 12] = 2
        label[:4, :6] = 255
        return label

    def path(self, index: int) -> str:
        if self.folder is None:
            return "nowhere.png"
        path = self.folder / self.img_infos[index]["filename"]
        if not path.exists():
            noise = np.random.default_rng(index).integers(0, 60, (40, 60, 3)).astype(np.uint8)
            cv2.imwrite(str(path), noise + 60 * np.minimum(self.truth(index), 3)[..., None])
        return str(path)


def drawn_guess(truth: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """The truth with a share of ``rate`` of its pixels drawn anew, and no ignored ones."""
    rng = np.random.default_rng(seed)
    guess = np.where(truth == 255, 0, truth).astype(np.int64)
    return np.where(rng.random(truth.shape) < rate, rng.integers(0, 3, truth.shape), guess)


def drawn_results(
    name: str = "drawn", images: int = 9, rate: float = 0.3, folder: Path | None = None, **about: Any
) -> RunResults:
    """Results of a run on ``images`` images; image i is worse than image i - 1."""
    dataset = DrawnDataset(images, folder)
    collector = Collector(dataset)
    for i in range(images):
        truth = dataset.truth(i)
        guess = torch.from_numpy(drawn_guess(truth, rate * (i + 1) / images, i))
        confidence = torch.from_numpy(np.random.default_rng(i).uniform(0.34, 1, truth.shape))
        collector.add(i, guess, truth, dataset.path(i), confidence)
    results = collector.results(name)
    results.about |= {"macs": 2_500_000_000, "params": 3_700_000, "cost_size": [40, 60], **about}
    results.curves = {
        "train": [{"iter": i, "loss": 3 / i, "lr": 1e-3 / i, "decode.acc_seg": 50 + i} for i in range(1, 40)],
        "val": [{"iter": i, "mIoU": i / 100, "mAcc": i / 90, "aAcc": i / 80} for i in (10, 20, 30)],
    }
    return results


class Page(HTMLParser):
    """What stands in a page: elements with their attributes, and text by the id of the section."""

    VOID = ("meta", "link", "img", "input", "br", "path", "rect", "circle")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.text: dict[str, str] = {}
        self._section = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("section", "article"):
            self._section = dict(attrs).get("id") or self._section
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> in line {self.getpos()[0]}")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.text[self._section] = self.text.get(self._section, "") + data + " "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element ``tag``."""
        return [attributes for name, attributes in self.elements if name == tag]
