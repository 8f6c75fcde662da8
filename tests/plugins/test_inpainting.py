"""pix2pix with a mask: its step by hand, what the discriminator sees, its loss, its translator, and every lever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorder import Recorder
from torch import Tensor, nn
from torch.nn import functional as F

import translate
from translate import checkpoint, images
from translate.compute import missing_compiler
from translate.compute.compilation import Compilation
from translate.compute.settings import recompute
from translate.contract import check_contract
from translate.data import Domain
from translate.engine.capture import capturable
from translate.engine.step import Engine
from translate.errors import TranslateError, UnfitError
from translate.method import Method, Needs
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.ranks import ProcessGroup
from translate.run import Run
from translate.seeds import seed_step
from translate.taken import facts_of
from translate.testing import check_method
from translate.translator import contents

SMALL = {"generator": "unet(width=8, depth=2)", "discriminator": "patch(width=8, receptive_field=16)", "mask": "mask"}
EXACT = {
    "generator": "unet(width=4, depth=2, norm=instance, dropout=0)",
    "discriminator": "patch(width=4, receptive_field=16, norm=instance)",
}


def parts(source: Domain = Domain(3), target: Domain = Domain(3), mask: Domain = Domain(1)) -> Any:  # noqa: B008
    given: Any = CatalogParts(discover(), source=source, target=target, size=(32, 32))
    given.aligned = {"mask": mask}
    return given


def make(given: Any = None, **options: Any) -> Any:
    torch.manual_seed(1)
    return build_method(discover(), "pix2pix", {**SMALL, **options}, given or parts()).train()


def engine(method: Method, **options: Any) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=2e-4, betas=(0.5, 0.999), fused=True)

    return Engine(method, dict.fromkeys(method.players, adam), **{"steps": 100, **options})


def batch(index: int, count: int = 2, planes: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    found = {
        name: torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1 for name in ("source", "target", "mismatched")
    }
    mask = torch.full((count, planes, 32, 32), -1.0)
    for row in range(count):
        mask[row, -1, 4 + row : 20 - 3 * row, 6:18] = 1.0
    return {**found, "mask": mask}


def test_steps_equal_a_plain_hand_written_loop_to_the_bit() -> None:
    ours, theirs = make(), make()
    machine = engine(ours, seed=3)
    generator, discriminator = theirs.generator, theirs.adversary.discriminator
    for_generator = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    for_discriminator = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    for step in range(4):
        machine.step([batch(step)])

        data = batch(step)
        seed_step(3, step)
        hole = (data["mask"] + 1) / 2
        seen = torch.cat([(1 - hole) * data["source"], hole], 1)
        fake = hole * generator(seen) + (1 - hole) * data["source"]
        discriminator.requires_grad_(True)
        for_discriminator.zero_grad()
        on_real, on_fake = (discriminator(each, seen).logits[0] for each in (data["target"], fake.detach()))
        ((F.softplus(-on_real).mean() + F.softplus(on_fake).mean()) * 0.5).backward()
        for_discriminator.step()
        discriminator.requires_grad_(False)
        for_generator.zero_grad()
        inside = (hole * (fake - data["target"]).abs()).sum((1, 2, 3)) / (3 * hole.sum((1, 2, 3)))
        (F.softplus(-discriminator(fake, seen).logits[0]).mean() + 100.0 * inside.mean()).backward()
        for_generator.step()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def moves(method: Any, data: dict[str, Tensor]) -> dict[str, Any]:
    seed_step(0, 0)
    return {update.player: update for update in method.updates(data, 0)}


def test_only_the_hole_is_pulled() -> None:
    """A target that differs outside changes no term of the generator's; one that differs inside does."""
    data, hole = batch(0), (batch(0)["mask"] > 0).expand(2, 3, 32, 32)
    terms = moves(make(gan=0.0), data)["generator"].terms
    for place, same in ((~hole, True), (hole, False)):
        other = {**data, "target": torch.where(place, -data["target"], data["target"])}
        assert (moves(make(gan=0.0), other)["generator"].terms["l1"].item() == terms["l1"].item()) is same
    # What the source holds inside is seen by nobody.
    hidden = {**data, "source": torch.where(hole, -data["source"], data["source"])}
    first, second = moves(make(), data), moves(make(), hidden)
    for player in ("generator", "discriminator"):
        for name, term in first[player].terms.items():
            assert term.item() == second[player].terms[name].item()


def test_an_image_without_a_hole_pulls_nothing_and_breaks_nothing() -> None:
    data = batch(0)
    data["mask"][:] = -1
    method = make(gan=0.0)
    term = moves(method, data)["generator"].terms["l1"]
    term.backward()
    assert term.item() == 0
    assert all(not bool(weight.grad.any()) for weight in method.generator.parameters() if weight.grad is not None)
    machine = engine(make())
    machine.step([data])
    assert machine.fetch()["generator/l1"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"matching_aware": True, "discriminator": "two_headed(width=8, receptive_field=16)"},
        {"pool": 3},
        {"adversarial": "hinge + r1(weight=1)"},
        {"gan": 0.0},
        {"generator": "resnet(width=4, blocks=1)"},
    ],
    ids=str,
)
def test_it_goes_with_all_other_options(options: dict[str, Any]) -> None:
    method = make(**options)
    assert method.needs.aligned == {"mask"}
    machine = engine(method)
    for step in range(2):
        machine.step([batch(step)])
    assert all(torch.isfinite(torch.tensor(value)) for value in machine.fetch().values())
    if "pool" in options:
        assert machine.tensors()["method/adversary.pool.images"].shape == (3, 3 + 4, 32, 32)


def test_without_a_mask_nothing_is_new() -> None:
    method = make(mask="")
    assert method.needs == Needs(paired=True)
    assert method.translators["forward"] is method.generator
    assert next(method.generator.parameters()).shape[1] == 3
    assert not facts_of(method.translators, parts())
    # A translator of earlier versions does not know the option.
    torch.manual_seed(1)
    old = build_method(discover(), "pix2pix", {key: SMALL[key] for key in ("generator", "discriminator")}, parts())
    assert all(torch.equal(value, method.state_dict()[name]) for name, value in old.state_dict().items())


def test_masks_of_classes_and_of_alpha() -> None:
    gray, classes = batch(0), batch(0, planes=2)
    assert torch.equal(gray["mask"], classes["mask"][:, 1:])
    alpha = {**gray, "mask": -gray["mask"]}
    wanted = moves(make(), gray)["generator"].terms
    of_classes = moves(make(parts(mask=Domain(2, classes=2))), classes)["generator"].terms
    of_alpha = moves(make(parts(mask=Domain(1, alpha="only"))), alpha)["generator"].terms
    for name, term in wanted.items():
        assert of_classes[name].item() == of_alpha[name].item() == term.item()


def test_its_translator_keeps_what_is_known() -> None:
    method = make().eval()
    network = method.translators["forward"]
    data = batch(0)
    hole = (data["mask"] > 0).expand(2, 3, 32, 32)
    with torch.no_grad():
        filled = network(data["source"], mask=data["mask"])
        assert torch.equal(filled[~hole], data["source"][~hole])
        assert not torch.equal(filled[hole], data["source"][hole])
        several = network(data["source"], samples=2, mask=data["mask"])
        rows = data["source"].repeat_interleave(2, 0)
        assert torch.equal(several[hole.logical_not().repeat_interleave(2, 0)], rows[~hole.repeat_interleave(2, 0)])
        assert not torch.equal(several[0], several[1])
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(data["source"], mask=data["mask"])
        assert torch.equal(rounded[~hole], data["source"][~hole])
    assert network.size_multiple == 4
    takes = facts_of(method.translators, parts())["takes"]["forward"]["inputs"]["mask"]
    assert (takes["kind"], takes["of"], takes["required"], takes["hole"]) == ("aligned", "mask", True, True)
    plain = make(generator="shallow(width=4)", gan=0.0)
    with pytest.raises(UnfitError, match="draws no noise, so it has one answer; leave out --samples"):
        plain.translators["forward"](data["source"], samples=2, mask=data["mask"])


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Domain(1), Domain(3)),
        (Domain(4, classes=4), Domain(4, classes=4)),
        (Domain(3, "float32", 0, 255), Domain(3)),
        (Domain(3, "uint16", 0, 4095, ranged=True), Domain(3, "uint16")),
        (Domain(3, alpha="plane"), Domain(3)),
    ],
    ids=str,
)
def test_source_and_target_must_be_of_one_kind(source: Domain, target: Domain) -> None:
    with pytest.raises(TranslateError, match="so both must be images of the same channels, range and transparency"):
        make(parts(source, target))


def test_who_fills_holes_answers_images_like_its_own() -> None:
    """Any method's: the pixels that are kept must be some of the output's."""

    class Wider(Method):
        def __init__(self) -> None:
            super().__init__()
            self.network = make().translators["forward"]

        players = translators = property(lambda self: {"forward": self.network})  # type: ignore[assignment]

    for source, target in ((Domain(1), Domain(3)), (Domain(3), Domain(3, classes=3))):
        with pytest.raises(
            TranslateError, match="wider: its forward fills holes and keeps all other pixels, so source"
        ):
            check_contract(Wider(), "wider", parts(source, target))
    check_contract(Wider(), "wider", parts())


# --- levers ---------------------------------------------------------------------------------------------------------


def same(first: Any, second: Any) -> None:
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"precision": "bf16"}], ids=str)
def test_a_recorded_step_is_the_step(options: dict[str, Any]) -> None:
    first, second = make(), make()
    played, recorded = engine(first, seed=3, **options), engine(second, seed=3, graphs=Recorder, **options)
    capturable((player.optimizer for player in played.players.values()), played.device)
    for step in range(6):
        played.step([batch(step)])
        recorded.step([batch(step)])
    assert recorded.replays
    for name, value in played.tensors().items():
        assert torch.equal(value, recorded.tensors()[name]), name


def test_what_is_recomputed_is_the_same() -> None:
    first, second = make(), make()
    recompute([second.generator])
    for method in (first, second):
        machine = engine(method, seed=3)
        for step in range(2):
            machine.step([batch(step)])
    same(first, second)


def test_two_batches_are_one_large_batch() -> None:
    """The loss is a mean over images, each with its own hole, so parts of a batch average to the whole."""
    first, second = (make(**EXACT).double() for _ in range(2))
    accumulating, whole = (engine(method, seed=3) for method in (first, second))
    for step in range(2):
        data = {name: value.double() for name, value in batch(step, 4).items()}
        halves = [{name: value[part] for name, value in data.items()} for part in (slice(0, 2), slice(2, 4))]
        accumulating.step(halves)
        whole.step([data])
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name], rtol=1e-9, atol=1e-9)


def test_bf16_is_near_float32() -> None:
    found = []
    for precision in ("float32", "bf16"):
        machine = engine(make(**EXACT), precision=precision)
        machine.step([batch(0)])
        found.append(machine.fetch())
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=0.05), name


@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="nothing compiles here")
def test_what_is_compiled_is_the_same() -> None:
    given = parts()
    first = make(given, **EXACT).double()
    Compilation("yes", given.networks, left=0, group=ProcessGroup(), device=torch.device("cpu"))
    second = make(**EXACT).double()
    for method in (first, second):
        machine = engine(method, seed=3)
        for step in range(2):
            machine.step([{key: value.double() for key, value in batch(step).items()}])
    for key, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[key], rtol=1e-8, atol=1e-8)


def test_its_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    check_method(f"pix2pix({options}, pool=2, matching_aware=yes)")


DATA = "demo(size=32, count=8, aligned=mask)"
FIT: dict[str, Any] = {
    **EXACT, "mask": "mask", "size": 32, "load_size": 36, "log_every": 1, "sample_every": 100, "steps": 4, "keep": 9,
    "compile": "no", "seed": 3,
}  # fmt: skip


def test_a_run_goes_on_exactly_with_its_average(tmp_path: Path) -> None:
    options = {**FIT, "ema": 0.9, "accumulate": 2, "augment": ("random_holes",), "generator": "unet(width=4, depth=2)"}
    whole = translate.fit("pix2pix", DATA, output=tmp_path / "run", save_every=2, **options)
    wanted, _ = checkpoint.load(whole.checkpoints[-1])
    whole.checkpoints[-1].unlink()
    whole.translator.unlink()
    again = translate.resume(Run.open(tmp_path / "run").folder)
    found, _ = checkpoint.load(again.checkpoints[-1])
    assert wanted.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())
    averaged = translate.load(again.folder)
    assert averaged.taken.inputs["mask"].required


def test_two_ranks_of_one_train_as_one_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = {**FIT, "optimizer": ("sgd(lr=0.02)",), "steps": 2}
    alone = translate.fit("pix2pix", DATA, output=tmp_path / "one", batch=2, **options)
    both = translate.fit("pix2pix", DATA, output=tmp_path / "two", devices=2, **options)
    first, second = (checkpoint.load(run.checkpoints[-1])[0] for run in (alone, both))
    for name, value in first.items():
        if name.startswith("method/"):
            assert torch.allclose(value, second[name], atol=2e-6), name
    assert alone.metrics[-1]["generator/l1"] == pytest.approx(both.metrics[-1]["generator/l1"], rel=1e-5)


def test_an_evaluation_fills_each_images_own_transparency(tmp_path: Path) -> None:
    """By the word, by the images' own files as masks of alpha, and by white masks of the same holes."""
    draws = np.random.default_rng(0)
    for number in range(3):
        hole = draws.random((32, 32)) < 0.1 * number
        alpha = np.where(hole, draws.integers(0, 255, (32, 32)), 255).astype(np.uint8)
        for side in ("source", "target"):
            path = tmp_path / "data" / "test" / side / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, images.Image(draws.integers(0, 256, (32, 32, 3), np.uint8), alpha))
        (tmp_path / "masks").mkdir(exist_ok=True)
        images.write(tmp_path / "masks" / f"{number}.png", images.Image(255 * hole[..., None].astype(np.uint8)))
    file = tmp_path / "it.safetensors"
    given, catalog = parts(mask=Domain(1, nearest=True)), discover()
    plugin = catalog.offer("methods", "pix2pix").plugin
    checkpoint.save(file, *contents(make(given), name="pix2pix", options=SMALL, parts=given, plugin=plugin))

    def evaluate(**options: Any) -> Any:
        layout = "folders(source=source, target=target)"
        return translate.evaluate(
            file, tmp_path / "data", metrics=["l1", "psnr"], layout=layout, device="cpu", batch=2, **options
        )

    own = evaluate(given={"mask": "alpha"})
    assert own.scores == pytest.approx(evaluate(given={"mask": tmp_path / "masks"}).scores)
    assert own.scores != evaluate(given={"mask": np.zeros((32, 32), np.uint8)}).scores
    told = own.protocol["inputs"]["mask"]
    assert (told["from"], told["images"], told["without_a_hole"]) == ("the transparency of each image", 3, 1)
    assert "mask from the transparency of each image (which marks nothing in 1 of 3)" in own.lines()[2]
    assert own.protocol["given"] == {"mask": "the transparency of each image"}
    # Resized with its image, as a mask in a file is.
    assert evaluate(given={"mask": "alpha"}, at=(16, 16)).scores == pytest.approx(
        evaluate(given={"mask": tmp_path / "masks"}, at=(16, 16)).scores
    )
    (tmp_path / "data" / "test" / "source" / "1.png").write_bytes(b"no image")
    with pytest.raises(TranslateError, match=r"1.png is no PNG"):
        evaluate(given={"mask": "alpha"})
