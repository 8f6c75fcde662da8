"""The contract check of methods."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from translate import checkpoint, conversion, images, translator
from translate.adversary import Adversary
from translate.data import DOMAINS, Domain
from translate.draws import seeded_draws
from translate.engine import Engine
from translate.errors import TranslateError
from translate.features import as_features, offered
from translate.given import examples
from translate.layouts import open_dataset
from translate.method import Method, Needs, role_of
from translate.options import parse_call
from translate.parts import SavedMethod, build_method
from translate.plugins import discover
from translate.run import Run
from translate.saved import load_classifier, load_encoder, load_sampler
from translate.seeds import seed_step
from translate.streams import Streams, vector_of
from translate.taken import Taken, taken_by
from translate.testing.networks import CHANNELS, parts_of
from translate.training import fit, resume
from translate.traits import Traits


def check_method(
    part: str,
    *,
    plugins: Sequence[str] = (),
    data: str = "demo(size=32, count=12, aligned=mask, vectors=text)",
) -> None:
    """Check a method with several channel counts: gradients for all weights, exact resume, and equal saved networks.

    A method may ask for all that ``data`` has: give data of your own if it needs other streams than those of the
    default, an aligned ``mask`` of one plane and vectors ``text`` of five numbers.
    """
    catalog = discover(extra=plugins)
    call = parse_call(part)
    streams = Streams.of(open_dataset(catalog, data))
    for inputs, outputs in CHANNELS:
        seed_step(0, 0)
        try:
            method = build_method(
                catalog, call.name, call.options, parts_of(catalog, (32, 32), inputs, outputs, streams)
            )
        except TranslateError:
            # A method may refuse domains of unlike channels, but must accept RGB to RGB.
            if (inputs, outputs) == (3, 3):
                raise
            continue
        _check_directions(call.name, method, inputs, outputs, streams)
        _check_gradients_reach_weights(call.name, method, Made(method.needs, streams, inputs, outputs))
        owned = {weight for module in method.players.values() for weight in module.parameters()}
        for module in method.modules():
            assert not isinstance(module, Adversary) or owned.issuperset(module.discriminator.parameters()), (
                f"{call.name}: an adversary's discriminator is nobody's player"
            )
    folder = Path(tempfile.mkdtemp(prefix="translate-"))
    try:
        _check_exact_resume(call.name, call.options, folder, plugins, data)
    finally:
        shutil.rmtree(folder)


def _check_directions(name: str, method: Method, inputs: int, outputs: int, streams: Streams) -> None:
    """Check what each direction takes and makes: channels, size, range; and logits and features of a classifier."""
    channels = {"source": inputs, "target": outputs}
    labels = ("one", "two", "three")
    domains = {side: Domain(count, labels=labels) for side, count in channels.items()} | dict(streams.aligned)
    method.eval()
    with torch.no_grad():
        for direction, module in method.translators.items():
            # What must be given beside an image or noise: a first class, zeros.
            taken = taken_by(module, domains=domains, vectors=streams.vectors)
            given = examples(taken, (), {}, 2, (32, 32), (32, 32))
            if role_of(direction) == "sampler":
                made, wanted = module(torch.randn(2, *Traits(module).noise), **given), channels[Traits(module).domain]
            elif role_of(direction) == "classifier":
                image = torch.rand(2, channels[Traits(module).domain], 32, 32) * 2 - 1
                logits = module(image)
                assert logits.shape == (2, 3), f"{name}: {direction} answers {tuple(logits.shape)} for 3 classes"
                continue
            else:
                there, back = ("target", "source") if direction == "backward" else ("source", "target")
                image, wanted = torch.rand(2, channels[there], 32, 32) * 2 - 1, channels[back]
                with seeded_draws(0) as draws:
                    made = module(image, **given)
                assert Traits(module).draws_noise or not draws.drew, (
                    f"{name}: {direction} draws noise though no samples are asked for, so its answers differ; say "
                    "draws_noise = True, or draw only for the keyword samples"
                )
            assert made.shape == (2, wanted, 32, 32), (
                f"{name}: {direction} makes {tuple(made.shape)} where (2, {wanted}, 32, 32) is expected"
            )
            assert Traits(module).unbounded or float(made.abs().max()) <= 1, f"{name}: {direction} leaves [-1, 1]"
    method.train()


@dataclass(frozen=True, slots=True)
class Made:
    """Batches that have all that a method needs, made up."""

    needs: Needs
    streams: Streams
    inputs: int
    outputs: int

    def batch(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Two rows of each stream."""

        def drawn(channels: int) -> torch.Tensor:
            return torch.rand(2, channels, 32, 32, generator=generator) * 2 - 1

        batch = {"source": drawn(self.inputs), "target": drawn(self.outputs)}
        if "mismatched" in self.needs.streams:
            batch["mismatched"] = torch.flip(batch["source"], [0])
        if "labelled" in self.needs.streams:
            batch.update(labelled=torch.flip(batch["target"], [0]), labelled_label=torch.tensor([1, 2]))
        if self.needs.references:
            batch.update(reference=drawn(self.outputs), reference2=drawn(self.outputs))
            batch["reference_label"] = torch.tensor([2, 0])
        for name in sorted(self.needs.aligned):
            batch[name] = drawn(self.streams.aligned[name].channels).sign()
        for name in sorted(self.needs.vectors):
            batch[name] = torch.randn(2, self.streams.vectors[vector_of(name)[1]], generator=generator)
        return batch | {f"{domain}_label": torch.tensor([0, 1]) for domain in DOMAINS}


def _check_accumulation(name: str, method: Method, made: Made) -> None:
    """Check that a period of steps on two batches each moves the same terms, all finite."""
    generator = torch.Generator().manual_seed(1)
    named = []
    for batches in (1, 2):
        engine = Engine(
            method,
            dict.fromkeys(method.players, lambda weights: torch.optim.SGD(weights, lr=1e-4)),
            steps=method.period,
        )
        for _ in range(method.period):
            engine.step([made.batch(generator) for _ in range(batches)])
        named.append(engine.fetch().keys())
    assert named[0] == named[1], f"{name}: with gradient accumulation it has other terms: {sorted(named[0] ^ named[1])}"


def _check_gradients_reach_weights(name: str, method: Method, made: Made) -> None:
    generator = torch.Generator().manual_seed(0)
    engine = Engine(
        method,
        dict.fromkeys(method.players, lambda weights: torch.optim.SGD(weights, lr=0.01)),
        steps=2 * method.period,
    )
    moved: dict[str, bool] = {}
    hooks = [
        weight.register_hook(lambda _gradient, key=key: moved.__setitem__(key, True))
        for player, module in method.players.items()
        for key, weight in ((f"{player}: {each}", weight) for each, weight in module.named_parameters())
    ]
    for _ in range(2 * method.period):
        engine.step([made.batch(generator)])
    for hook in hooks:
        hook.remove()
    terms = engine.fetch()
    assert terms, f"{name}: no update came in a period"
    for player, module in method.players.items():
        for key, weight in module.named_parameters():
            assert f"{player}: {key}" in moved or not weight.requires_grad, (
                f"{name}: no update reaches {key} of the player {player}"
            )
    _check_accumulation(name, method, made)


def _check_exact_resume(name: str, options: Mapping[str, Any], folder: Path, plugins: Sequence[str], data: str) -> None:
    settings: dict[str, Any] = {
        "size": 32,
        "batch": 2,
        "log_every": 1,
        "sample_every": 4,
        "seed": 5,
        "ema": 0.5,
        "plugins": plugins,
        **options,
    }
    whole = fit(name, data, output=folder / "whole", steps=4, save_every=2, keep=9, **settings)
    half = Run(folder / "half", whole.config)
    shutil.copytree(whole.folder, half.folder)
    half.checkpoints[-1].unlink()
    resumed = resume(half.folder, plugins=plugins)
    wanted, metadata = checkpoint.load(whole.checkpoints[-1])
    got, _ = checkpoint.load(resumed.checkpoints[-1])
    assert metadata["engine"]["step"] == 4
    assert wanted.keys() == got.keys(), f"{name}: a resumed run keeps other tensors"
    for key, value in wanted.items():
        assert torch.equal(value, got[key]), f"{name}: resumed, {key} differs from the uninterrupted run"
    _check_sampler_and_classifier(name, whole, resumed, plugins)
    _check_encoders(name, whole, resumed, plugins)
    if "forward" in checkpoint.load(whole.translator)[1]["directions"]:
        first, second = (translator.load(run.folder, plugins=plugins) for run in (whole, resumed))
        image = torch.rand(1, first.source.channels, 45, 37) * 2 - 1
        given = _needed(first.taken)
        assert torch.equal(first.translate(image, given=given), second.translate(image, given=given)), (
            f"{name}: save and load change the output"
        )
        pixels = torch.randint(0, 255, (45, 37, 3), dtype=torch.uint8).numpy()
        images.write(folder / "in.png", images.Image(pixels, None))
        done = conversion.convert(first, folder / "in.png", folder / "out.png", given=given)
        assert done.converted == 1, f"{name}: {done.failed}"
        assert images.read(folder / "out.png").pixels.shape[:2] == (45, 37), f"{name}: conversion changes the size"


def _needed(taken: Taken) -> dict[str, Any]:
    """What a network cannot be called without, as its users give it: first classes, and vectors of alternating numbers.

    Images are black, and noise is drawn.
    """
    found: dict[str, Any] = {}
    for name, each in taken.inputs.items():
        if not each.required or each.drawn:
            continue
        if each.kind == "class":
            found[name] = 0
        elif each.kind == "vector":
            found[name] = [(-1.0) ** place for place in range(each.length or 1)]
        else:
            assert each.domain is not None
            found[name] = -torch.ones(each.domain.channels, 45, 37)
    return found


def _check_sampler_and_classifier(name: str, whole: Run, resumed: Run, plugins: Sequence[str]) -> None:
    """Check a run's sampler and classifier, if any: shapes, ranges, and equality after a resume."""
    directions = checkpoint.load(whole.translator)[1]["directions"]
    if "sample" in directions:
        first, second = (load_sampler(run.folder, plugins=plugins) for run in (whole, resumed))
        given = _needed(first.taken)
        drawn = first.draw(range(3), given=given)
        assert drawn.shape == (3, first.domain.channels, *first.size), f"{name}: samples are {tuple(drawn.shape)}"
        assert float(drawn.abs().max()) <= 1, f"{name}: a sample left [-1, 1]"
        assert torch.allclose(drawn[1:2], first.draw([1], given=given), atol=1e-5), (
            f"{name}: a sample depends on its neighbours"
        )
        assert torch.equal(drawn, second.draw(range(3), given=given)), f"{name}: save and load change the samples"
    if "classify" in directions:
        classifier, other = (load_classifier(run.folder, plugins=plugins) for run in (whole, resumed))
        image = torch.rand(3, classifier.domain.channels, *classifier.size) * 2 - 1
        logits = classifier.classify(image)
        assert logits.shape == (3, len(classifier.labels)), (
            f"{name}: {tuple(logits.shape)} for {len(classifier.labels)} classes"
        )
        assert torch.allclose(logits[:1], classifier.classify(image[:1]), atol=1e-5), (
            f"{name}: an image's class depends on its neighbours"
        )
        assert torch.equal(logits, other.classify(image)), f"{name}: save and load change the classifier"
        features = classifier.network.features(image)  # type: ignore[operator]
        assert features.shape[:1] == (3,), f"{name}: no features (N, D)"


def _check_encoders(name: str, whole: Run, resumed: Run, plugins: Sequence[str]) -> None:
    """Check the networks of a run that give features: shapes, equality after a resume, and one image's own codes."""
    saved = SavedMethod.open(whole.folder, discover(extra=plugins))
    for direction in offered(saved.method.translators):
        first, second = (load_encoder(run.folder, direction=direction, plugins=plugins) for run in (whole, resumed))
        image = torch.rand(3, first.domain.channels, *first.size) * 2 - 1
        codes, again, alone = first.encode(image), second.encode(image), first.encode(image[:1])
        for key, code in codes.items():
            assert torch.equal(code, again[key]), f"{name}: save and load change the code {key} of {direction}"
            assert torch.allclose(code[:1], alone[key], rtol=1e-3, atol=1e-4), (
                f"{name}: a code {key} depends on its neighbours"
            )
        features = as_features(first.network, direction)(image)
        assert features.dim() in (2, 4), f"{name}: the features of {direction} are {tuple(features.shape)}"
        assert features.shape[:1] == (3,), f"{name}: the features of {direction} are not (N, ...)"
