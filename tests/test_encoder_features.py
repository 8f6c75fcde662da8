"""Runs as feature extractors: the encoder's mean to the bit, which of several, what is refused, no file afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorder import Recorder
from torch import Tensor, nn

import translate
from translate.checkpoint import load as load_tensors
from translate.data import Domain
from translate.engine import Engine
from translate.engine.capture import capturable
from translate.errors import TranslateError
from translate.features import check_size, chosen, offered, run_and_choice
from translate.frozen import Features, Frozen
from translate.parts import CatalogParts, SavedMethod, build_method
from translate.plugins import discover
from translate.run import Run
from translate.saved import load_classifier
from translate_metrics.extraction import name_of

CODERS = {"encoder": "dcgan(width=4, latent=6)", "decoder": "dcgan(width=4)"}
MAPS = {"encoder": "residual(width=4)", "decoder": "residual(width=4)"}
SHORT = {"steps": 2, "size": 16, "load_size": 16, "batch": 2, "compile": "no", "sample_every": 9, "log_every": 1}


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "vae"
    return translate.fit("vae", "demo(size=16, count=6)", output=folder, **SHORT, **CODERS)


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "unit"
    return translate.fit("unit", "demo(size=16, count=6)", output=folder, **SHORT, **MAPS, gan=0)


def parts(channels: int = 3, size: tuple[int, int] = (16, 16)) -> CatalogParts:
    domain = Domain(channels)
    return CatalogParts(discover(), source=domain, target=domain, size=size)


def encoder_of(run: Run, direction: str) -> nn.Module:
    encoder: nn.Module = SavedMethod.open(run.folder, discover()).module(direction).encoder.eval()  # type: ignore[assignment]
    return encoder


def image(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_features_of_an_autoencoder_are_its_mean(vae: Run) -> None:
    made = parts()
    extractor = made.feature_extractor(str(vae.folder))
    wanted = encoder_of(vae, "forward")(image()).chunk(2, dim=1)[0]
    assert torch.equal(extractor(image()), wanted)
    assert (extractor.latent, extractor.channels) == ((6,), 6)
    assert not any(weight.requires_grad for weight in extractor.parameters())
    # The decoder, which no feature needs, is left behind.
    assert {name.split(".")[1] for name in extractor.state_dict()} == {"encoder"}
    for path in (vae.translator, vae.checkpoints[-1]):
        assert torch.equal(parts().feature_extractor(str(path))(image()), wanted)


def test_which_of_two_encoders_is_asked(unit: Run) -> None:
    name = str(unit.folder)
    with pytest.raises(TranslateError, match=rf"2 networks that give features; .*: {name}:source or {name}:target$"):
        parts().feature_extractor(name)
    source, target = (parts().feature_extractor(f"{name}:{side}")(image()) for side in ("source", "target"))
    assert torch.equal(source, encoder_of(unit, "forward")(image()))
    assert torch.equal(target, encoder_of(unit, "backward")(image()))
    assert not torch.equal(source, target)
    assert torch.equal(parts().feature_extractor(f"{name}:backward")(image()), target)
    with pytest.raises(TranslateError, match=r"gives no features of 'tagret'; did you mean target\?"):
        parts().feature_extractor(f"{name}:tagret")


class Encoding(nn.Module):
    """A stranger's translator whose features are a method."""

    def __init__(self, side: str | None = None) -> None:
        super().__init__()
        self.encodes = side
        self.scale = nn.Parameter(torch.ones(()))

    def feature_extractor(self, image: Tensor) -> Tensor:
        return image.mean((2, 3)) * self.scale


def test_the_domain_that_fits() -> None:
    gray, colour = ({"channels": channels} for channels in (1, 3))
    metadata: dict[str, Any] = {"method": "odd", "source": gray, "target": colour}
    both = {"forward": Encoding(), "backward": Encoding(), "plain": nn.Identity(), "sample": Encoding()}
    assert offered(both) == {"forward": "source", "backward": "target"}
    assert offered({"forward": Encoding("target")}) == {"forward": "target"}
    assert chosen("run", metadata, both, "", 1) == "forward"
    assert chosen("run", metadata, both, "", 3) == "backward"
    assert chosen("run", metadata, {"forward": Encoding()}, "", 3) == "forward"
    with pytest.raises(TranslateError, match="2 networks that give features"):
        chosen("run", metadata, both, "", 4)
    same = {"forward": Encoding(), "again": Encoding()}
    with pytest.raises(TranslateError, match="choose one of them: run:forward or run:again$"):
        chosen("run", metadata, same, "source")


def test_a_classifier_goes_before_encoders_and_all_are_listed_where_several_fit() -> None:
    class Judge(nn.Module):
        def features(self, image: Tensor) -> Tensor:
            return image.mean((2, 3))

    metadata: dict[str, Any] = {"method": "odd", "source": {"channels": 1}, "target": {"channels": 3}}
    assert (
        chosen("run", metadata, {"forward": Encoding(), "backward": Encoding(), "classify": Judge()}, "") == "classify"
    )
    three = {"forward": Encoding(), "again": Encoding(), "backward": Encoding()}
    with pytest.raises(TranslateError, match="has 3 networks that give features"):
        chosen("run", metadata, three, "", 1)


def test_every_side_must_fit() -> None:
    network = Encoding()
    network.size_multiple = 8
    check_size("run", network, (16, 24))
    for size in ((16, 12), (12, 16), (12, 12)):
        with pytest.raises(
            TranslateError, match=r"the encoder of run needs sides that divide by 8, which 1\dx1\d does"
        ):
            check_size("run", network, size)


def test_what_a_crafted_file_says_of_its_features(vae: Run) -> None:
    metadata = SavedMethod.open(vae.folder, discover()).metadata
    for direction, message in (("nowhere", "'nowhere', which is not"), ("sample", "'sample' gives no features")):
        resources = {"runs/vae": {**metadata, "features": direction}}
        domain = Domain(3)
        rebuilding = CatalogParts(discover(), source=domain, target=domain, size=(16, 16), resources=resources)
        with pytest.raises(TranslateError, match=message):
            rebuilding.feature_extractor("runs/vae")
        with pytest.raises(TranslateError, match="nor a part"):
            rebuilding.feature_extractor(str(vae.folder))


def test_metrics_name_the_encoder(unit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(unit.folder.parent)
    assert name_of("unit:target") == "unit:target"
    assert name_of(f"{unit.translator}:target") == "unit:target"
    found = translate.evaluate(
        unit.folder, "demo(size=16, count=6)", metrics=["kid(extractor='unit:target')"], split="train", device="cpu"
    )
    assert found.protocol["metrics"]["kid"].startswith("unit:target, weights ")


def test_a_name_with_a_colon_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a:source").mkdir()
    (tmp_path / "b").mkdir()
    assert run_and_choice(f"{tmp_path}/a:source") == (f"{tmp_path}/a:source", "")
    assert run_and_choice(f"{tmp_path}/b:source") == (f"{tmp_path}/b", "source")
    assert run_and_choice(f"{tmp_path}/a:source:target") == (f"{tmp_path}/a:source", "target")
    assert run_and_choice(f"{tmp_path}/c:source") is None
    assert run_and_choice("squeezenet(weights='a:b')") is None


@pytest.mark.parametrize(
    ("channels", "size", "message"),
    [
        (1, (16, 16), "was trained on images of 3 channels, and these have 1; train it on images like these"),
        (3, (24, 24), "takes images of 16x16 only, and these have 24x24; choose --size 16, or"),
    ],
)
def test_images_that_do_not_fit(vae: Run, channels: int, size: tuple[int, int], message: str) -> None:
    with pytest.raises(TranslateError, match=message):
        parts(channels, size).feature_extractor(str(vae.folder))


def test_sides_that_do_not_divide(unit: Run) -> None:
    with pytest.raises(TranslateError, match=r"needs sides that divide by 4, which 18x18 does not"):
        parts(3, (18, 18)).feature_extractor(f"{unit.folder}:source")


class Wrong(nn.Module):
    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, image: Tensor) -> Any:
        if self.output is None:
            raise RuntimeError("sizes\nof tensors")
        return self.output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "Wrong takes no images of 8x8 and 3 channels: sizes of tensors$"),
        ((1, 2), "gives tuple for one image; it must give a tensor"),
        (torch.zeros(2, 5), r"gives \(2, 5\) for one image"),
        (torch.zeros(1, 2, 3), r"gives \(1, 2, 3\) for one image"),
    ],
)
def test_extractors_that_give_no_features(output: Any, message: str) -> None:
    for kind in (Features, Frozen):
        with pytest.raises(TranslateError, match=message):
            kind(Wrong(output), (8, 8), 3)


def test_a_probe_leaves_statistics_alone() -> None:
    norm = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).train()
    Features(norm, (4, 4), 3)
    assert norm.training
    assert norm[1].num_batches_tracked == 0


# --- a classifier on features -----------------------------------------------------------------------------------------


def trained(folder: Path, features: Any, **options: Any) -> Run:
    return translate.fit(
        "classifier", "demo(size=16, count=6)", output=folder, features=str(features), domain="target",
        **SHORT | {"keep": 9, "save_every": 1, "steps": 3, "optimizer": ("adam(lr=0.01)",)} | options,
    )  # fmt: skip


def body(path: Path) -> dict[str, Tensor]:
    tensors = load_tensors(path)[0]
    return {name: value for name, value in tensors.items() if name.startswith("method/head.body.")}


@pytest.mark.parametrize("finetune", [False, True])
def test_frozen_weights_stay_and_finetuned_ones_move(vae: Run, tmp_path: Path, finetune: bool) -> None:
    run = trained(tmp_path / "run", vae.folder, finetune=finetune, hidden=5)
    wanted = dict(encoder_of(vae, "forward").state_dict())
    after = {
        name.removeprefix("method/head.body.network.encoder."): value
        for name, value in body(run.checkpoints[-1]).items()
    }
    assert after.keys() == wanted.keys()
    moved = [name for name, value in after.items() if not torch.equal(value, wanted[name])]
    assert bool(moved) == finetune
    head = load_tensors(run.checkpoints[-1])[0]["method/head.head.2.weight"]
    assert head.any()
    term = "classifier+features/cross_entropy" if finetune else "classifier/cross_entropy"
    # The head starts at 0, so that all classes are equally likely.
    assert run.metrics[0][term] == pytest.approx(np.log(3), rel=1e-5)


def test_an_optimizer_of_its_own(vae: Run, tmp_path: Path) -> None:
    run = trained(
        tmp_path / "run", vae.folder, finetune=True, optimizer=("sgd(lr=0.1)", "features=sgd(lr=1e-30)"), steps=3
    )
    wanted = encoder_of(vae, "forward").state_dict()
    found = body(run.checkpoints[-1])
    assert all(torch.equal(found[f"method/head.body.network.encoder.{name}"], value) for name, value in wanted.items())


@pytest.mark.parametrize("finetune", [False, True])
def test_it_needs_no_run_afterwards(vae: Run, tmp_path: Path, finetune: bool) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(vae.folder, copied)
    run = trained(tmp_path / "run", copied, finetune=finetune)
    shutil.rmtree(copied)
    kept = load_tensors(run.checkpoints[-1])[0]
    run.checkpoints[-1].unlink()
    again = load_tensors(translate.resume(run.folder).checkpoints[-1])[0]
    assert all(torch.equal(again[name], value) for name, value in kept.items())
    classifier = load_classifier(run.folder)
    assert classifier.classify(image()).shape == (3, len(classifier.labels))
    # Its features are those of its encoder, wherever a classifier's can be used.
    assert parts().feature_extractor(str(run.folder))(image()).shape == (3, 6)
    found = translate.evaluate(
        run.folder, "demo(size=16, count=6)", metrics=["classification_error"], direction="classify", split="train"
    )
    assert 0 <= found.scores["classification_error"] <= 100


def test_maps_are_pooled_or_taken_whole(unit: Run) -> None:
    domain = Domain(3, labels=("a", "b"))
    made = CatalogParts(discover(), source=domain, target=domain, size=(16, 16))
    options = {"features": f"{unit.folder}:target", "domain": "target"}
    pooled = build_method(discover(), "classifier", options, made).translators["classify"]
    whole = build_method(discover(), "classifier", {**options, "pooling": "none"}, made).translators["classify"]
    code = encoder_of(unit, "backward")(image())
    torch.testing.assert_close(pooled.features(image()), code.mean((2, 3)))  # type: ignore[operator]
    assert torch.equal(whole.features(image()), code.flatten(1))  # type: ignore[operator]
    assert torch.equal(whole(image()), torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"finetune": True}, "finetune is an option of features; give --features a run, or leave it out"),
        ({"hidden": 3}, "hidden is an option of features"),
        ({"pooling": "none"}, "pooling is an option of features"),
        ({"features": "RUN", "network": "auxiliary"}, "leave out --network or --features"),
        ({"features": "nowhere/run"}, "nor a part"),
    ],
)
def test_options_that_do_not_fit(vae: Run, options: dict[str, Any], message: str) -> None:
    domain = Domain(3, labels=("a", "b"))
    made = CatalogParts(discover(), source=domain, target=domain, size=(16, 16))
    given = {name: str(vae.folder) if value == "RUN" else value for name, value in options.items()}
    with pytest.raises(TranslateError, match=message):
        build_method(discover(), "classifier", given, made)


# --- every lever of a training ----------------------------------------------------------------------------------------


def few(vae: Run, finetune: bool) -> Any:
    domain = Domain(3, labels=("a", "b", "c"))
    made = CatalogParts(discover(), source=domain, target=domain, size=(16, 16))
    torch.manual_seed(3)
    options = {"features": str(vae.folder), "finetune": finetune, "hidden": 4}
    return build_method(discover(), "classifier", options, made).train()


def labelled(step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {
        "source": torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1,
        "source_label": torch.randint(0, 3, (4,), generator=generator),
    }


def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, lr=1e-2, betas=(0.5, 0.999), fused=True)


@pytest.mark.parametrize("finetune", [False, True])
@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"precision": "bf16"}], ids=lambda options: "-".join(options))
def test_a_recorded_step_is_the_step(vae: Run, finetune: bool, options: dict[str, Any]) -> None:
    first, second = few(vae, finetune), few(vae, finetune)
    names = first.players
    alone = Engine(first, dict.fromkeys(names, adam), steps=5, seed=7, **options)
    recorded = Engine(second, dict.fromkeys(names, adam), steps=5, seed=7, graphs=Recorder, **options)
    capturable((player.optimizer for player in alone.players.values()), alone.device)
    for step in range(5):
        alone.step([labelled(step)])
        recorded.step([labelled(step)])
    assert recorded.replays
    found = recorded.tensors()
    for name, value in alone.tensors().items():
        assert torch.equal(value, found[name]), name


def test_two_batches_are_one_large_batch(vae: Run) -> None:
    both = {name: torch.cat([labelled(0)[name], labelled(1)[name]]) for name in labelled(0)}
    whole, parted = few(vae, True).double(), few(vae, True).double()
    for method, batches in ((whole, [both]), (parted, [labelled(0), labelled(1)])):
        made = [
            {name: value.double() if value.is_floating_point() else value for name, value in each.items()}
            for each in batches
        ]
        Engine(method, dict.fromkeys(method.players, adam), steps=1, seed=7).step(made)
    for (name, one), other in zip(whole.named_parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("finetune", [False, True])
def test_recomputed_it_is_the_same(vae: Run, tmp_path: Path, finetune: bool) -> None:
    runs = [
        trained(tmp_path / str(again), vae.folder, finetune=finetune, recompute=again, ema=0.9)
        for again in (False, True)
    ]
    plain, recomputed = (load_tensors(run.checkpoints[-1])[0] for run in runs)
    assert plain.keys() == recomputed.keys()
    for name, value in plain.items():
        torch.testing.assert_close(recomputed[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.compiled
@pytest.mark.parametrize("finetune", [False, True])
def test_compiled_it_is_the_same(vae: Run, tmp_path: Path, finetune: bool) -> None:
    runs = [
        trained(tmp_path / how, vae.folder, finetune=finetune, compile=how, optimizer=("sgd(lr=0.01)",))
        for how in ("no", "yes")
    ]
    plain, compiled = (load_tensors(run.checkpoints[-1])[0] for run in runs)
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-4)
