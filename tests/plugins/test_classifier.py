"""The supervised classifier: what it minimises, whose labels it takes, that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import translate
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.saved import load_classifier
from translate.testing import check_plugin
from translate_classifier.method import cross_entropy

NETWORK = "semi_supervised(width=4, dropout=0)"
LABELS = ("dark", "grey", "light")


def made(source: Domain | None = None, target: Domain | None = None, **options: Any) -> Any:
    torch.manual_seed(0)
    domain = Domain(1, labels=LABELS)
    parts = CatalogParts(discover(), source=source or domain, target=target or source or domain, size=(16, 16))
    return build_method(discover(), "classifier", {"network": NETWORK, **options}, parts).train()


def engine(method: Any, rate: float = 1e-2) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=rate)

    return Engine(method, dict.fromkeys(method.players, adam), steps=100)


def shades(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Flat images of three shades with noise, and which shade each is."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    noise = 0.2 * torch.randn(count, 1, 16, 16, generator=generator)
    return (labels - 1).view(-1, 1, 1, 1) * 0.5 + noise, labels


@pytest.mark.parametrize("domain", ["source", "target"])
def test_contract(domain: str) -> None:
    check_plugin("classifier", examples={"classifier": f"classifier(network='{NETWORK}', domain={domain})"})


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.0, 0.0], [5.0, -5.0]], dtype=torch.bfloat16)
    found = cross_entropy(logits, torch.tensor([0, 1, -1]))
    expected = (np.log(1 + np.e) + np.log(2)) / 2
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, rel=1e-6)
    assert cross_entropy(logits, torch.tensor([-1, 1, -1])).item() == pytest.approx(np.log(2), rel=1e-6)
    assert cross_entropy(logits, torch.tensor([-1, -1, -1])).item() == 0
    assert cross_entropy(logits.double(), torch.tensor([0, 1, -1])).dtype == torch.float64


def test_images_without_a_label_count_for_nothing() -> None:
    images, labels = shades(6, 0)
    some = torch.where(torch.arange(6) < 4, labels, -1)
    whole, part = made(), made()
    for method, batch in ((whole, (images, some)), (part, (images[:4], labels[:4]))):
        (update,) = method.updates({"source": batch[0], "source_label": batch[1]}, 0)
        update.terms["cross_entropy"].backward()
    for one, other in zip(whole.parameters(), part.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_the_term_is_that_of_torch() -> None:
    images, labels = shades(5, 1)
    method = made()
    (update,) = method.updates({"source": images, "source_label": labels}, 0)
    assert update.player == "classifier"
    expected = F.cross_entropy(method.translators["classify"](images), labels)
    torch.testing.assert_close(update.terms["cross_entropy"], expected)


def test_whose_labels_it_takes() -> None:
    source = made()
    assert (source.needs.labels, source.needs.streams) == ({"source"}, ())
    assert source.translators["classify"].domain == "source"
    target = made(Domain(3, labels=("a", "b")), Domain(1, labels=LABELS), domain="target")
    assert (target.needs.labels, target.needs.streams) == (frozenset(), ("labelled",))
    assert target.translators["classify"].domain == "target"
    images, labels = shades(4, 0)
    (update,) = target.updates({"source": torch.zeros(2, 3, 16, 16), "labelled": images, "labelled_label": labels}, 0)
    assert update.terms["cross_entropy"].isfinite()


def test_what_it_cannot_learn_from_is_refused() -> None:
    with pytest.raises(TranslateError, match="two classes or more, and the source has 0; use data with labels"):
        made(Domain(1))
    with pytest.raises(TranslateError, match="the target has 1"):
        made(Domain(1, labels=LABELS), Domain(1, labels=("only",)), domain="target")
    with pytest.raises(TranslateError, match="tells no classes apart"):
        next(made(network="patch(width=4, receptive_field=1)").updates({
            "source": torch.zeros(2, 1, 16, 16), "source_label": torch.zeros(2, dtype=torch.int64),
        }, 0))  # fmt: skip


def test_it_learns_shades() -> None:
    method = made()
    machine = engine(method)
    for step in range(30):
        images, labels = shades(8, step)
        machine.step([{"source": images, "source_label": labels}])
    images, labels = shades(100, 1000)
    head = method.translators["classify"].eval()
    with torch.no_grad():
        assert (head(images).argmax(1) == labels).float().mean() > 0.95


def test_trained_on_few_labels_of_one_domain_and_put_to_work(tmp_path: Path) -> None:
    images, labels = shades(40, 0)
    pixels = ((images[:, 0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    file = tmp_path / "shades.npz"
    few = np.where(np.arange(40) < 9, labels.numpy(), -1)
    np.savez(file, train_image=pixels, train_label=few)
    run = translate.fit(
        "classifier", file, output=tmp_path / "run", size=16, load_size=16, flip=False, batch=8, steps=40,
        network=NETWORK, domain="target", optimizer=("adam(lr=0.01)",),
    )  # fmt: skip
    classifier = load_classifier(run.folder)
    assert classifier.labels == ("0", "1", "2")
    test, answers = shades(60, 5)
    told = classifier.classify(test)
    torch.testing.assert_close(told.sum(1), torch.ones(60))
    assert (told.argmax(1) == answers).float().mean() > 0.9
