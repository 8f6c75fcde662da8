"""CUT: InfoNCE by hand, patches at the same locations, gradients where they belong, its layers, and what it keeps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import translate
from translate.checkpoint import load as load_tensors
from translate.compute.compilation import Compilation
from translate.compute.compiler import missing_compiler
from translate.compute.flops import flops_of_step
from translate.compute.settings import recompute
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.method import Method, Update
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.ranks import ProcessGroup
from translate.testing import check_plugin
from translate_cut.patches import Projector, draw_locations, info_nce, mirror_locations, take

SMALL = {
    "generator": "resnet(blocks=1, width=4)",
    "discriminator": "patch(receptive_field=16, width=4, norm=instance)",
    "patches": 16,
    "features": 8,
}


def parts(source: Domain | int = 3, target: Domain | int = 3, size: tuple[int, int] = (16, 16)) -> CatalogParts:
    domains = [Domain(domain) if isinstance(domain, int) else domain for domain in (source, target)]
    return CatalogParts(discover(), source=domains[0], target=domains[1], size=size)


def make(name: str = "cut", size: tuple[int, int] = (16, 16), **options: Any) -> Any:
    torch.manual_seed(1)
    return build_method(discover(), name, {**SMALL, **options}, parts(size=size)).train()


def batch(index: int = 0, count: int = 2, side: int = 16) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    draw = (count, 3, side, side)
    return {name: torch.rand(draw, generator=generator) * 2 - 1 for name in ("source", "target")}


def engine(method: Method, **options: Any) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=2e-4, betas=(0.5, 0.999))

    return Engine(method, dict.fromkeys(method.players, adam), steps=100, **options)


def moves(method: Method, data: dict[str, Tensor], step: int = 0) -> dict[str, Update]:
    found = {}
    torch.manual_seed(5)
    for update in method.updates(data, step):
        assert isinstance(update, Update)
        found[update.label] = update
    return found


BOTH = "generator+projector"

# --- the loss -------------------------------------------------------------------------------------------------------


def test_info_nce_of_three_patches_by_hand() -> None:
    """Similarities are 0.8, 0.6, 0 / 0.6, 0.8, 0 / 0, 1, 0, divided by tau = 0.5; the third is nearest to the second."""
    queries = torch.tensor([[[0.8, 0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]]])
    keys = torch.eye(3)[None]
    rows = [(1.6, 1.2, 0.0), (1.2, 1.6, 0.0), (0.0, 2.0, 0.0)]
    by_hand = [math.log(sum(map(math.exp, row))) - row[place] for place, row in enumerate(rows)]
    losses, accuracy = info_nce(queries, keys, 0.5)
    assert losses.tolist() == pytest.approx([sum(by_hand) / 3], rel=1e-6)
    assert accuracy.tolist() == pytest.approx([2 / 3])
    # Three patches that are all alike are told apart by chance.
    alike, _ = info_nce(queries[:, :1].expand(-1, 3, -1), keys[:, :1].expand(-1, 3, -1), 0.07)
    assert alike.item() == pytest.approx(math.log(3))


def test_negatives_are_of_the_same_image() -> None:
    torch.manual_seed(0)
    queries, keys = (nn.functional.normalize(torch.randn(2, 5, 4), dim=-1) for _ in range(2))
    together = info_nce(queries, keys, 0.07)
    for number in range(2):
        alone = info_nce(queries[number : number + 1], keys[number : number + 1], 0.07)
        for whole, one in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[number], one[0])


def test_similarities_are_float32_under_autocast() -> None:
    queries, keys = (nn.functional.normalize(torch.randn(1, 9, 64), dim=-1) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = info_nce(queries, keys, 0.07)[0]
        vectors = Projector([5])(torch.randn(1, 9, 5))[0]
    assert torch.equal(found, info_nce(queries, keys, 0.07)[0])
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(1, 9))


def test_locations_are_drawn_without_repetition_for_each_image() -> None:
    torch.manual_seed(0)
    maps = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    locations = draw_locations(maps, 7)
    assert locations.shape == (2, 7)
    assert all(len(set(row)) == 7 and min(row) >= 0 and max(row) < 20 for row in locations.tolist())
    assert sorted(locations[0].tolist()) != sorted(locations[1].tolist())
    vectors = take(maps, locations)
    for image in range(2):
        for place, location in enumerate(locations[image].tolist()):
            assert torch.equal(vectors[image, place], maps[image, :, location // 5, location % 5])
    mirrored = take(maps.flip(3), mirror_locations(locations, 5))
    assert torch.equal(mirrored, vectors)


# --- the game -------------------------------------------------------------------------------------------------------


class Scaled(nn.Module):
    """A generator that changes the brightness alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        return self.scale * image


@pytest.mark.parametrize("flip", [False, True])
def test_locations_are_those_of_the_source(flip: bool) -> None:
    """A translation that is its source has its vectors, so that each patch is nearest to its own."""
    method = make(layers="image", flip_equivariance=flip)
    method.generator = Scaled()
    seen: list[tuple[Tensor, ...]] = []
    method.projector.register_forward_hook(lambda _module, given, _answer: seen.append(given))
    data = batch(count=8)
    moves(method, data)
    keys, queries = seen[0][0], seen[1][0]
    assert keys.shape == (8, 16, 3)
    assert torch.equal(keys, queries)
    # None of the vectors is at its place in the next image: they are drawn apart, and each image's are its own.
    assert not torch.equal(keys[0], keys[1])


def test_half_of_the_inputs_are_mirrored() -> None:
    method = make("fastcut")
    method.generator = Scaled()
    method.layers = ("",)
    method.projector = Projector([3], 8)
    seen: list[Tensor] = []
    method.generator.register_forward_hook(lambda _module, given, _answer: seen.append(given[0]))
    data = batch(count=64)
    moves(method, data)
    shown, source = seen[0], data["source"]
    kinds = [torch.equal(a, b.flip(2)) for a, b in zip(shown, source, strict=True)]
    assert 16 < sum(kinds) < 48
    assert all(mirrored or torch.equal(a, b) for mirrored, a, b in zip(kinds, shown, source, strict=True))


def test_gradients_go_where_they_belong() -> None:
    method = make()
    update = moves(method, batch())[BOTH]
    players = {name: list(module.parameters()) for name, module in method.players.items()}
    for term, reached in (("adversarial", {"generator"}), ("nce", {"generator", "projector"})):
        found = {
            name: torch.autograd.grad(update.terms[term], weights, retain_graph=True, allow_unused=True)
            for name, weights in players.items()
            if name != "discriminator" or term == "nce"
        }
        moved = {name for name, slopes in found.items() if any(slope is not None for slope in slopes)}
        assert moved == reached, term
    assert not update.log["accuracy"].requires_grad


def test_keys_are_constants() -> None:
    """With a projector that is linear, the slope of the loss is that of the queries alone."""
    method = make(layers="image", patches=256, identity_nce=0.0)
    method.generator = Scaled()
    update = moves(method, batch())[BOTH]
    (found,) = torch.autograd.grad(update.terms["nce"], [method.generator.scale], retain_graph=True)

    def loss(of_queries: float, of_keys: float) -> float:
        vectors = batch()["source"].flatten(2).transpose(1, 2)
        with torch.no_grad():
            queries, keys = (method.projector(scale * vectors)[0] for scale in (of_queries, of_keys))
        return info_nce(queries.double(), keys.double(), 0.07)[0].mean().item()

    slope = (loss(1.001, 1) - loss(0.999, 1)) / 0.002
    both = (loss(1.001, 1.001) - loss(0.999, 0.999)) / 0.002
    assert found.item() == pytest.approx(slope, rel=0.02, abs=1e-3)
    assert abs(both - slope) > 0.1 * abs(slope)


def test_terms_and_their_weights() -> None:
    data = batch()
    plain = moves(make(), data)
    assert plain["discriminator"].terms.keys() == {"adversarial"}
    assert plain[BOTH].terms.keys() == {"adversarial", "nce", "identity_nce"}
    heavy = moves(make(gan=1.0, nce=3.0, identity_nce=0.5), data)[BOTH].terms
    for name, factor in (("adversarial", 0.5), ("nce", 3), ("identity_nce", 0.5)):
        assert heavy[name].item() == pytest.approx(factor * plain[BOTH].terms[name].item(), rel=1e-5), name
    assert moves(make(identity_nce=0.0), data)[BOTH].terms.keys() == {"adversarial", "nce"}


def test_the_identity_term_is_the_term_of_targets() -> None:
    data = batch()
    swapped = {"source": data["target"], "target": data["source"]}
    first, second = (moves(make(patches=256), each)[BOTH].terms for each in (data, swapped))
    torch.testing.assert_close(first["identity_nce"], second["nce"])
    torch.testing.assert_close(first["nce"], second["identity_nce"])


def test_only_the_discriminator_moves_while_the_generator_waits() -> None:
    method = make(adversarial="hinge + critic(updates=2)")
    passes: list[Any] = []
    method.generator.register_forward_hook(lambda *_: passes.append(None))
    assert [moves(method, batch(), step).keys() for step in range(2)] == [{"discriminator"}, {"discriminator", BOTH}]
    machine = engine(method)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    machine.step([batch()])
    changed = {
        name.split(".")[0] for name, value in method.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"adversary"}
    machine.step([batch()])
    changed = {
        name.split(".")[0] for name, value in method.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"adversary", "generator", "projector"}


def test_no_more_is_computed_than_needed() -> None:
    """Two translations and two passes of the encoder; one each together; nothing behind the last layer compared."""
    method = make()
    counts = {"encoder": 0, "decoder": 0}
    for name in counts:
        part = getattr(method.generator, name)
        part[-1].register_forward_hook(lambda *_, name=name: counts.update({name: counts[name] + 1}))
    moves(method, batch())
    assert counts == {"encoder": 4, "decoder": 2}
    method.pass_together()
    moves(method, batch())
    assert counts == {"encoder": 6, "decoder": 3}


# --- levers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generator", "together"),
    [("resnet(blocks=1, width=4)", True), ("resnet(blocks=1, width=4, norm=batch)", False)],
)
def test_passes_are_put_together_where_that_is_exact(generator: str, together: bool) -> None:
    method = make(generator=generator, patches=256).double()
    data = {name: value.double() for name, value in batch().items()}
    apart = moves(method, data)[BOTH].terms
    method.pass_together()
    assert method.together is together
    for name, term in moves(method, data)[BOTH].terms.items():
        torch.testing.assert_close(term, apart[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_what_is_recomputed_is_the_same(name: str) -> None:
    first, second = (make(name, generator="unet(width=4, depth=2)") for _ in range(2))
    recompute([second.generator, second.projector])
    for method in (first, second):
        machine = engine(method, seed=3)
        for step in range(2):
            machine.step([batch(step)])
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="nothing compiles here")
@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_what_is_compiled_is_the_same(name: str) -> None:
    given = parts()
    torch.manual_seed(1)
    first = build_method(discover(), name, {**SMALL, "patches": 256}, given).double().train()
    Compilation("yes", given.networks, left=0, group=ProcessGroup(), device=torch.device("cpu"))
    second = make(name, patches=256).double()
    for method in (first, second):
        machine = engine(method, seed=3)
        for step in range(2):
            machine.step([{key: value.double() for key, value in batch(step).items()}])
    for key, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[key], rtol=1e-8, atol=1e-8)


def test_bf16_is_near_float32() -> None:
    found = []
    for precision in ("float32", "bf16"):
        machine = engine(make(patches=256), precision=precision)
        machine.step([batch()])
        found.append(machine.fetch())
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=0.1, abs=0.05), name


def test_its_operations_are_counted() -> None:
    cut, cyclegan = make(size=(32, 32)), build_method(
        discover(), "cyclegan", {key: SMALL[key] for key in ("generator", "discriminator")}, parts(size=(32, 32))
    )  # fmt: skip
    counted = [flops_of_step(method, batch(side=32)) for method in (cut, cyclegan)]
    assert None not in counted
    assert counted[0] < counted[1]  # type: ignore[operator]


# --- layers ---------------------------------------------------------------------------------------------------------


def test_defaults_are_the_published_layers_and_networks() -> None:
    with torch.device("meta"):
        method: Any = build_method(discover(), "cut", {}, parts(size=(256, 256)))
    assert method.layers == ("", "encoder.4", "encoder.7", "blocks.0", "blocks.4")
    channels = [3, 128, 256, 256, 256]
    weights = sum(weight.numel() for weight in method.projector.parameters())
    assert weights == sum(256 * each + 256 + 256 * 256 + 256 for each in channels)
    assert sum(weight.numel() for weight in method.generator.parameters()) == 11_378_179


def test_the_accuracy_is_that_of_sources_and_a_pool_is_kept() -> None:
    def accuracy(given: dict[str, Tensor], **options: Any) -> float:
        method = make(patches=256, **options)
        *_, last = method.updates(given, 0)
        return last.log["accuracy"].item()

    given = batch()
    swapped = {"source": given["target"], "target": given["source"]}
    assert accuracy(given) == pytest.approx(accuracy(given, identity_nce=0.0))
    assert accuracy(swapped) == pytest.approx(accuracy(swapped, identity_nce=0.0))
    assert accuracy(given) != pytest.approx(accuracy(swapped))
    assert make(pool=3).adversary.pool.images.shape == (3, 3, 16, 16)
    assert make().adversary.pool is None


def test_projectors_start_small() -> None:
    torch.manual_seed(0)
    first = Projector([64], 128).perceptrons[0][0]
    assert first.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not first.bias.any()


def test_layers_of_one_location_are_left_out() -> None:
    method = make(size=(32, 32), generator="unet(width=4)")
    assert method.layers == ("", "encoder.0", "encoder.1", "encoder.2", "encoder.3")


def test_layers_are_chosen_by_name() -> None:
    method = make(layers="image, blocks.0")
    assert method.layers == ("", "blocks.0")
    assert [each[0].in_features for each in method.projector.perceptrons] == [3, 16]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layers": "encoder.44"}, r"ResNet has no layer 'encoder\.44'; did you mean encoder\.4"),
        ({"layers": "foo"}, r"ResNet has no layer 'foo'; choose from encoder\.4"),
        ({"layers": "blocks"}, "'blocks' of ResNet is a list of modules"),
        (
            {"generator": "unet(width=4, depth=4)", "layers": "image,encoder.3"},
            "the layer 'encoder.3' of UNet has one location at 16x16, .* leave it out of --layers",
        ),
        ({"nce": 0.0}, "with nce=0 nothing holds a translation to its source; use the method gan"),
    ],
)
def test_what_cannot_be_compared_is_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(TranslateError, match=told):
        make(**options)


def test_domains_of_other_channels_are_refused() -> None:
    with pytest.raises(TranslateError, match="same kind and number of channels, not 1 channel and 3 channels; convert"):
        build_method(discover(), "cut", SMALL, parts(1, 3))
    with pytest.raises(TranslateError, match="not 3 planes of classes and 3 channels; convert one of them"):
        build_method(discover(), "cut", SMALL, parts(Domain(3, classes=3), 3))


class Reading(nn.Module):
    """A stranger's generator without feature layers, which looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        inside = self.first(image)
        return torch.tanh(self.second(inside if inside.mean().item() < 9 else -inside))


def test_a_generator_that_looks_at_values_and_names_no_layers() -> None:
    class Own(CatalogParts):
        def generator(self, name: str, **_: Any) -> nn.Module:
            return Reading()

    given = Own(discover(), source=Domain(3), target=Domain(3), size=(16, 16))
    with pytest.raises(TranslateError, match="Reading names no feature layers; name some of its layers: --layers"):
        build_method(discover(), "cut", SMALL, given)
    method = build_method(discover(), "cut", {**SMALL, "layers": "first"}, given)
    assert method.layers == ("first",)
    assert method.generator.training
    engine(method).step([batch()])


# --- from end to end ------------------------------------------------------------------------------------------------


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    check_plugin(
        "cut",
        examples={
            "cut": f"cut({options}, pool=3)",
            "fastcut": f"fastcut({options})",
            "plain_loops/cut": f"cut({options})",
        },
    )


def test_the_projector_is_in_checkpoints_and_not_in_the_translator(tmp_path: Path) -> None:
    run = translate.fit("cut", "demo(size=16, count=4)", output=tmp_path / "run", steps=2, batch=2, size=16, **SMALL)
    assert any("projector" in name for name in load_tensors(run.checkpoints[-1])[0])
    saved = load_tensors(run.translator)[0]
    assert saved
    assert all(name.startswith("forward/") for name in saved)
    assert not any("perceptrons" in name for name in saved)
    image = torch.rand(1, 3, 45, 37) * 2 - 1
    assert translate.load(run.folder).translate(image).shape == image.shape


def test_the_projector_learns_to_find_patches() -> None:
    """Of a translation that mixes the colours, 16 patches: at chance level the loss is log 16 and the share 1 / 16."""
    method = make(layers="image", gan=0.0, identity_nce=0.0, features=32)
    torch.manual_seed(0)
    method.generator = nn.Conv2d(3, 3, 1)
    machine = engine(method)
    for player in machine.players.values():
        player.rates = [5e-3 for _ in player.rates]
    for step in range(50):
        machine.step([batch(step, count=8)])
        if step == 39:
            machine.fetch()
    found = machine.fetch()
    assert found[f"{BOTH}/nce"] < 0.75 * math.log(16)
    assert found[f"{BOTH}/accuracy"] > 2.5 / 16
