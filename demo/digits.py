"""The 1,797 handwritten digits that scikit-learn ships, as PNG files, with wrong labels planted on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from demo.subject import Progress

SIZE = 96
LABELLED = 600
WRONG_SHARE = 0.08
SEED = 7

LABEL_CONFIG = (
    '<View>\n  <Image name="image" value="$image" maxWidth="360px"/>\n'
    '  <Choices name="digit" toName="image" choice="single" showInLine="true">\n'
    + "".join(f'    <Choice value="{digit}"/>\n' for digit in range(10))
    + "  </Choices>\n</View>"
)


@dataclass(frozen=True)
class Digits:
    """What is on the images, and what a careless annotator said.

    Attributes
    ----------
    truth : tuple of str, length n
        The digit on image i.
    given : dict of int to str
        Label of the images that come labelled; a share of them is wrong.
    """

    truth: tuple[str, ...]
    given: dict[int, str]

    @property
    def planted(self) -> set[int]:
        """Indices of the images whose given label is wrong."""
        return {index for index, label in self.given.items() if label != self.truth[index]}


def make_digits(labelled: int = LABELLED, wrong: float = WRONG_SHARE, seed: int = SEED) -> Digits:
    """Choose which images come labelled, and which of those wrongly.

    Parameters
    ----------
    labelled : int
        How many images come with a label.
    wrong : float
        Share of them whose label is another digit, in [0, 1].
    """
    rng = np.random.default_rng(seed)
    truth = tuple(str(digit) for digit in load_digits().target)
    chosen = rng.permutation(len(truth))[:labelled]
    given = {int(index): truth[index] for index in chosen}
    for index in chosen[: round(labelled * wrong)].tolist():
        others = [str(digit) for digit in range(10) if str(digit) != truth[index]]
        given[index] = str(rng.choice(others))
    return Digits(truth, given)


def as_image(pixels: np.ndarray) -> Image.Image:
    """Return a digit's 8 x 8 pixels, from 0 to 16, as a grey image, dark on light."""
    grey = Image.fromarray(np.uint8(255 - pixels * (255 / 16)))
    return grey.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def write_images(
    folder: Path, images: np.ndarray, progress: Progress = lambda done, total: None
) -> list[Path]:
    """Write the images that are missing in ``folder`` and return all paths, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, pixels in enumerate(images):
        path = folder / f"{index:04d}.png"
        if not path.exists():
            draft = path.with_suffix(".tmp")
            as_image(pixels).convert("RGB").save(draft, "PNG")
            draft.rename(path)
        paths.append(path)
        progress(index + 1, len(images))
    return paths


def render(folder: Path, progress: Progress = lambda done, total: None) -> list[Path]:
    """Write the images of all digits that are missing in ``folder`` and return all paths, in order."""
    return write_images(folder, load_digits().images, progress)
