"""The probe learns masks, predicts images by heads that have not seen them, and goes on from where it was."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
from PIL import Image

from ml.segmentation import sampling
from ml.segmentation.features import make_pixel_features
from ml.segmentation.pixel_head import PixelProbe
from ml.segmentation.probe import NotEnoughClasses, ProbeFit, fit_probe
from ml.segmentation.pyramid import Pyramid
from ml.segmentation.sampling import draw

H, W, K = 48, 64, 3
IGNORE = 255
FEATURES = make_pixel_features("pixels")
Scene = tuple[Pyramid, np.ndarray]


def scene(seed: int) -> Scene:
    """A disc with stripes and a box with a colour on grainy ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:H, :W]
    shades = rng.normal(110, 25, (H, W, 3))
    mask = np.zeros((H, W), dtype=np.uint8)
    cy, cx, r = rng.uniform(10, H - 10), rng.uniform(10, W - 10), rng.uniform(7, 11)
    disc = (y - cy) ** 2 + (x - cx) ** 2 < r**2
    shades[disc] = (130 + 90 * np.sign(np.sin(x * 1.6)))[disc][:, None] + rng.normal(0, 15, (disc.sum(), 3))
    mask[disc] = 1
    top, left = rng.integers(0, H - 16), rng.integers(0, W - 16)
    box = np.s_[top : top + rng.integers(8, 16), left : left + rng.integers(8, 16)]
    shades[box] = rng.normal((170, 90, 90), 25, shades[box].shape)
    mask[box] = 2
    image = Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8))
    return FEATURES.extract(image), mask


SCENES = [scene(seed) for seed in range(36)]


def keys(count: int) -> list[str]:
    return [blake2b(str(number).encode(), digest_size=16).hexdigest() for number in range(count)]


def fit(scenes: list[Scene], n_classes: int = K, **options: object) -> ProbeFit:
    return fit_probe(
        keys(len(scenes)),
        lambda i: scenes[i][0],
        lambda i: scenes[i][1],
        n_classes,
        ignore=IGNORE,
        **options,  # type: ignore[arg-type]
    )


def dice(labels: list[np.ndarray], predicted: list[np.ndarray]) -> float:
    label, found = np.concatenate([m.ravel() for m in labels]), np.concatenate([m.ravel() for m in predicted])
    each = [
        2 * ((label == c) & (found == c)).sum() / ((label == c).sum() + (found == c).sum()) for c in range(K)
    ]
    return float(np.mean(each))


@pytest.fixture(scope="module")
def fitted() -> ProbeFit:
    return fit(SCENES[:24])


def test_it_learns_masks_of_images_it_has_not_seen(fitted: ProbeFit) -> None:
    rest = SCENES[24:]
    labels = [mask for _, mask in rest]
    found = [fitted.head.probabilities(pyramid).argmax(axis=0) for pyramid, _ in rest]
    assert dice(labels, found) > 0.8
    assert dice(labels, [np.zeros_like(mask) for mask in labels]) < 0.4  # the majority class


def test_out_of_sample_is_as_good_as_on_new_images_and_calibrated(fitted: ProbeFit) -> None:
    train = SCENES[:24]
    probs = [fitted.oos_probabilities(i, pyramid) for i, (pyramid, _) in enumerate(train)]
    assert all(one.dtype == np.float32 and np.allclose(one.sum(axis=0), 1, atol=1e-4) for one in probs)
    assert dice([mask for _, mask in train], [one.argmax(axis=0) for one in probs]) > 0.8
    sure = np.concatenate([one.max(axis=0).ravel() for one in probs])
    right = np.concatenate(
        [(one.argmax(axis=0) == m).ravel() for one, (_, m) in zip(probs, train, strict=True)]
    )
    assert sure.mean() == pytest.approx(right.mean(), abs=0.02)


def test_a_label_is_not_seen_by_the_head_that_judges_it() -> None:
    strange = np.full((H, W), 2, dtype=np.uint8)
    scenes = list(SCENES[:24])
    before = fit(scenes)
    scenes[3] = (scenes[3][0], strange)
    after = fit(scenes)
    predicted = [one.oos_probabilities(3, scenes[3][0]).argmax(axis=0) for one in (before, after)]
    # other pixels are drawn from it, so batches differ; what is learned does not
    assert (predicted[0] == predicted[1]).mean() > 0.96
    assert (predicted[1] == 2).mean() < 0.3  # the label says it is everywhere


def test_copies_are_judged_by_the_same_head() -> None:
    twice = [*keys(24), *keys(24)]
    both = fit_probe(twice, lambda i: SCENES[i % 24][0], lambda i: SCENES[i % 24][1], K, ignore=IGNORE)
    assert np.array_equal(both.folds[:24], both.folds[24:])


def test_near_duplicates_are_judged_by_the_same_head() -> None:
    groups = np.arange(24) // 2
    pairs = fit(SCENES[:24], groups=groups)
    assert np.array_equal(pairs.folds[::2], pairs.folds[1::2])
    assert len(set(pairs.folds.tolist())) > 1
    alone = fit(SCENES[:24], groups=np.arange(24))
    assert np.array_equal(alone.folds, fit(SCENES[:24]).folds)


def test_a_content_is_predicted_by_the_head_that_has_not_seen_it(fitted: ProbeFit) -> None:
    known, pyramid = keys(len(fitted.folds)), SCENES[3][0]
    assert fitted.is_of(known)
    assert not fitted.is_of([known[1], known[0], *known[2:]])
    assert not fitted.is_of(known[:-1])
    unseen = fitted.unseen_content(known[3]).probabilities(pyramid)
    assert np.array_equal(unseen, fitted.oos_probabilities(3, pyramid))
    assert fitted.unseen_content("0" * 32) is fitted.head


def test_going_on_is_about_the_same_as_beginning_anew(fitted: ProbeFit) -> None:
    restored = ProbeFit.from_arrays(fitted.to_arrays())
    cold, warm = fit(SCENES[:25]), fit(SCENES[:25], warm=restored)
    assert np.array_equal(warm.folds[:24], fitted.folds)
    assert (warm.continued, warm.begun_with) == (1, 24)
    agree = [
        (warm.oos_probabilities(i, p).argmax(axis=0) == cold.oos_probabilities(i, p).argmax(axis=0)).mean()
        for i, (p, _) in enumerate(SCENES[:25])
    ]
    assert np.mean(agree) > 0.96
    assert warm.log_loss < 1.1 * cold.log_loss


def test_going_on_takes_fewer_steps_unless_the_fit_is_of_something_else(fitted: ProbeFit) -> None:
    def steps(warm: ProbeFit | None) -> int:
        calls: list[int] = []
        fit(SCENES[:25], warm=warm, progress=lambda done, total: calls.append(total))
        return calls[-1]

    cold = steps(None)
    assert steps(fitted) < cold / 2
    few = fit(SCENES[:10])  # dealt out by order, so a head may have seen what is in its fold now
    worn, small = replace(fitted, continued=8), replace(fitted, begun_with=12)
    moved = np.where(
        np.arange(24) == 5, (fitted.folds + 1) % 5, fitted.folds
    )  # a near-duplicate has gone since
    for other in (few, replace(fitted, folds=moved), replace(fitted, channels=(1, 2)), worn, small):
        assert steps(other) == cold


def test_it_comes_back_from_arrays_without_torch(
    fitted: ProbeFit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("probe")
    np.savez(folder / "head.npz", **fitted.head.to_arrays())
    (folder / "image").write_bytes(SCENES[0][0].to_bytes())
    code = """
        import sys
        import numpy as np
        from pathlib import Path
        from ml.segmentation.probe import PixelProbe
        from ml.segmentation.pyramid import Pyramid
        folder = Path(sys.argv[1])
        head = PixelProbe.from_arrays(np.load(folder / "head.npz"))
        pyramid = Pyramid.from_bytes((folder / "image").read_bytes())
        np.save(folder / "probs.npy", head.probabilities(pyramid))
        head.summary(pyramid)
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(folder)], check=True, timeout=120)
    assert np.allclose(np.load(folder / "probs.npy"), fitted.head.probabilities(SCENES[0][0]), atol=1e-6)


def test_levels_add_up_to_what_points_of_all_levels_give(fitted: ProbeFit) -> None:
    """Where the finest level has a cell for each pixel, interpolating after the layer is interpolating before it."""
    pyramid = SCENES[0][0]
    y, x = np.divmod(np.arange(H * W), W)
    X = sampling.vectors(pyramid, (y + 0.5) / H, (x + 0.5) / W)
    logits = fitted.heads.logits(X, len(fitted.heads.b2) - 1) / np.float32(fitted.temperature)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    assert np.allclose(fitted.head.probabilities(pyramid).reshape(K, -1).T, probs, atol=1e-3)


def test_ignored_pixels_count_for_nothing() -> None:
    scenes = SCENES[:8]
    blanked = []
    for number, (pyramid, mask) in enumerate(scenes):
        half = np.where(np.arange(W) < W // 2, IGNORE, mask).astype(np.uint8)
        blanked.append((pyramid, half if number else np.full_like(mask, IGNORE)))
    drawn = draw(
        keys(8), lambda i: blanked[i][0], lambda i: blanked[i][1], K, ignore=IGNORE, seed=0,
        progress=lambda done, total: None,
    )  # fmt: skip
    assert set(np.unique(drawn.y)) <= {0, 1, 2}
    assert (drawn.X[:, -1] > 0).all()  # right of the middle
    assert 0 not in drawn.image
    found = fit(blanked)
    assert np.isfinite(found.oos_probabilities(0, scenes[0][0])).all()


@pytest.mark.parametrize("count", [2, 3, 7])
def test_few_images_are_enough(count: int) -> None:
    found = fit(SCENES[:count])
    assert len(set(found.folds.tolist())) == min(count, 5)
    assert not found.stable
    assert np.isfinite(found.oos_probabilities(0, SCENES[0][0])).all()


def test_classes_of_one_image_or_none_and_empty_masks_are_no_trouble() -> None:
    empty = (SCENES[0][0], np.zeros((H, W), dtype=np.uint8))
    plain = [(p, np.where(m == 2, 0, m).astype(np.uint8)) for p, m in SCENES[1:8]]
    found = fit([empty, *plain, SCENES[8]], n_classes=5)
    shares = found.head.probabilities(SCENES[9][0]).mean(axis=(1, 2))
    assert np.isfinite(shares).all()
    assert shares[3:].max() < 0.01  # nobody has drawn these yet
    one = (SCENES[0][0], np.ones((H, W), dtype=np.uint8))
    assert np.isfinite(fit([empty, one]).head.probabilities(SCENES[1][0])).all()


def test_nothing_to_learn_is_said() -> None:
    empty = np.zeros((H, W), dtype=np.uint8)
    with pytest.raises(NotEnoughClasses, match="1 image"):
        fit(SCENES[:1])
    with pytest.raises(NotEnoughClasses, match="2 classes"):
        fit([(pyramid, empty) for pyramid, _ in SCENES[:4]])
    with pytest.raises(NotEnoughClasses, match="labelled pixels"):
        fit([(pyramid, empty + IGNORE) for pyramid, _ in SCENES[:3]] + SCENES[3:4])
    with pytest.raises(ValueError, match="no class"):
        fit([*SCENES[:3], (SCENES[3][0], empty + 7)])


def test_features_of_another_backbone_are_refused(fitted: ProbeFit) -> None:
    other = Pyramid(SCENES[0][0].size, SCENES[0][0].levels[:2])
    with pytest.raises(ValueError, match="another backbone"):
        fitted.head.probabilities(other)
    with pytest.raises(ValueError, match="different backbones"):
        fit([*SCENES[:3], (other, SCENES[3][1])])


def test_the_pixels_drawn_are_bounded_whatever_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST_PIXELS", 500)
    monkeypatch.setattr(sampling, "MOST_IMAGES", 60)
    asked: list[int] = []

    def pyramid(i: int) -> Pyramid:
        asked.append(i)
        return SCENES[i % 36][0]

    found = draw(
        keys(90), pyramid, lambda i: SCENES[i % 36][1], K, ignore=IGNORE, seed=0,
        progress=lambda done, total: None,
    )  # fmt: skip
    assert len(asked) == len(set(asked)) == 60
    assert len(found.X) <= 500
    counts = np.bincount(found.y, minlength=K)
    assert counts.min() > 0.8 * counts.max()  # classes are drawn alike, however small


def test_a_summary_tells_doubt_and_shares(fitted: ProbeFit) -> None:
    clear = fitted.head.summary(SCENES[24][0])
    label = np.bincount(SCENES[24][1].ravel(), minlength=K) / (H * W)
    assert np.allclose(clear.shares, label, atol=0.08)
    assert 0 <= clear.least_margin <= clear.margin <= 1
    assert 0 <= clear.entropy <= clear.most_entropy <= 1
    flat = replace(fitted.head, W2=fitted.head.W2 * np.float32(0.1), b2=fitted.head.b2 * np.float32(0.1))
    doubt = flat.summary(SCENES[24][0])
    assert doubt.margin < clear.margin
    assert doubt.entropy > clear.entropy
    assert doubt.confidence < clear.confidence


def test_the_head_is_small_enough_to_serve(fitted: ProbeFit) -> None:
    assert isinstance(fitted.head, PixelProbe)
    assert sum(array.nbytes for array in fitted.head.to_arrays().values()) < 100_000
