"""Import of other projects' generators: their answers, held against networks of the same layout; and what is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference_generators import Skip, resnet, seeded, unet
from torch import Tensor, nn

import translate
from translate import checkpoint, testing
from translate.cli import main
from translate.data import Domain
from translate.errors import TranslateError
from translate.parts import SavedMethod
from translate.plugins import discover

DATA = Path(__file__).parents[2] / "shared" / "data" / "generators"


def as_tested(network: nn.Module) -> nn.Module:
    """As that project tests by default: batch normalization by the image's own statistics, dropout held still."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return network


def image(channels: int = 3, size: tuple[int, int] = (64, 64)) -> Tensor:
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(7)) * 2 - 1


def imported(network: nn.Module, folder: Path, **options: Any) -> Any:
    torch.save(network.state_dict(), folder / "latest_net_G.pth")
    return translate.import_network(folder / "latest_net_G.pth", output=folder / "ours.safetensors", **options)


@torch.no_grad()
def assert_same(network: nn.Module, path: Path, x: Tensor | None = None) -> None:
    """Equal but for rounding: in float32, and far more closely in float64."""
    translator = translate.load(path, device="cpu")
    x = image(translator.source.channels) if x is None else x
    wanted = as_tested(network)(x)
    assert wanted.std() > 0.05, "the network shows nothing"
    # As it is loaded it is computed by faster algorithms, of other rounding.
    torch.testing.assert_close(translator.translate(x), wanted, atol=1e-4, rtol=0)
    ours = SavedMethod.open(path, discover()).module(translator.direction).eval()
    torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.double()(x.double()), network.double()(x.double()), atol=1e-10, rtol=0)
    network.float()


CASES: Mapping[str, tuple[Callable[[], nn.Module], str]] = {
    "resnet-9": (lambda: resnet(9, "instance"), "a ResNet-9 generator with instance norm, 3 -> 3 channels, 4 of"),
    "resnet-6": (
        lambda: resnet(6, "instance", ends=(1, 4)),
        "a ResNet-6 generator with instance norm, 1 -> 4 channels",
    ),
    "resnet-batch": (lambda: resnet(2, "batch"), "a ResNet-2 generator with batch norm"),
    "resnet-none": (lambda: resnet(2, "none"), "a ResNet-2 generator with no normalization"),
    "resnet-dropout": (
        lambda: resnet(2, "instance", dropout=True),
        "a ResNet-2 generator with dropout 0.5 with instance",
    ),
    "resnet-batch-dropout": (lambda: resnet(2, "batch", dropout=True), "with dropout 0.5 with batch norm"),
    "cut": (lambda: resnet(9, "instance", down=True, up=True), "an antialiased ResNet-9 generator with instance norm"),
    "cut-batch": (lambda: resnet(2, "batch", down=True, up=True, dropout=True), "an antialiased ResNet-2 generator"),
    "cut-down": (lambda: resnet(2, "instance", down=True), "an antialiased ResNet-2 generator"),
    "cut-up": (lambda: resnet(2, "instance", up=True), "an antialiased ResNet-2 generator"),
    "unet-256": (
        lambda: unet(8, "batch"),
        "a U-Net-256 generator with batch norm, 3 -> 3 channels, 2 of its first map",
    ),
    "unet-128": (lambda: unet(7, "batch", dropout=True), "a U-Net-128 generator with batch norm"),
    "unet-256-dropout": (lambda: unet(8, "batch", dropout=True), "a U-Net-256 generator with batch norm"),
    "unet-instance": (lambda: unet(7, "instance", ends=(6, 1)), "a U-Net-128 generator with instance norm, 6 -> 1"),
    "unet-none": (lambda: unet(7, "none"), "a U-Net-128 generator with no normalization"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_imported_generator_answers_as_the_original_does(name: str, tmp_path: Path) -> None:
    network, told = seeded(CASES[name][0]()), CASES[name][1]
    result = imported(network, tmp_path)
    assert told in result.summary
    side = 256 if "256" in name else 128 if "unet" in name else 64
    channels = translate.load(result.path).source.channels
    assert_same(network, result.path, image(channels, (side, side if "unet" in name else 52)))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_the_prefixes_of_wrappers_are_left_out(prefix: str, tmp_path: Path) -> None:
    network = seeded(resnet(2, "batch"))
    torch.save({prefix + name: value for name, value in network.state_dict().items()}, tmp_path / "net.pth")
    result = translate.import_network(tmp_path / "net.pth", output=tmp_path / "ours.safetensors")
    assert_same(network, result.path)


@pytest.mark.parametrize(
    "make", [lambda: resnet(2, "batch", down=True), lambda: resnet(1, "batch", dropout=True), lambda: unet(6, "batch")]
)
@torch.no_grad()
def test_running_statistics_are_used_when_they_are_asked_for(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    network = seeded(make())
    result = imported(network, tmp_path, importer="cyclegan_pix2pix(statistics=running)")
    wanted = network.eval()(image())
    translator = translate.load(result.path, device="cpu")
    torch.testing.assert_close(translator.translate(image()), wanted, atol=1e-5, rtol=0)
    assert (as_tested(network)(image()) - wanted).abs().max() > 0.01
    assert not any("running" in note for note in result.notes)


def test_statistics_that_nothing_used_are_left_out(tmp_path: Path) -> None:
    """Early versions of torch kept statistics of instance normalization."""
    network = seeded(resnet(2, "instance"))
    state = network.state_dict()
    state |= {f"model.2.{name}": torch.ones(4) for name in ("running_mean", "running_var")}
    torch.save(state, tmp_path / "old.pth")
    result = translate.import_network(tmp_path / "old.pth", output=tmp_path / "ours.safetensors")
    assert "instance norm" in result.summary
    assert_same(network, result.path)


def test_learned_instance_normalization_is_batch_normalization_of_one_image(tmp_path: Path) -> None:
    def affine(channels: int) -> nn.Module:
        return nn.InstanceNorm2d(channels, affine=True)

    network = resnet(2, "instance")
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for number, layer in enumerate(sequence):
            if isinstance(layer, nn.InstanceNorm2d):
                sequence[number] = affine(layer.num_features)
    seeded(network)
    result = imported(network, tmp_path)
    assert "biases before a normalization have no effect and are left out" in result.notes
    assert_same(network, result.path)


def test_what_was_decided_is_told_and_can_be_given(tmp_path: Path) -> None:
    notes = imported(seeded(unet(7, "batch")), tmp_path).notes
    assert any("0.5 was taken" in note for note in notes)
    assert any("running statistics are left out" in note for note in notes)
    importer = "cyclegan_pix2pix(dropout=0, norm=batch)"
    result = imported(seeded(unet(7, "batch")), tmp_path, importer=importer, overwrite=True)
    assert not any("was taken" in note for note in result.notes)
    with pytest.raises(TranslateError, match="draws no noise"):
        translate.load(result.path, device="cpu").translate(image(size=(128, 128)), samples=2)
    network = seeded(resnet(1, "instance"))
    result = imported(network, tmp_path, importer="cyclegan_pix2pix(norm=none)", overwrite=True)
    assert "no normalization" in result.summary
    plain = seeded(resnet(1, "none"))
    plain.load_state_dict({**plain.state_dict(), **{k: v for k, v in network.state_dict().items() if v.dim() > 1}})
    other = translate.load(result.path, device="cpu").translate(image())
    assert not torch.allclose(other, as_tested(network)(image()), atol=1e-2)


def test_dropout_draws_samples(tmp_path: Path) -> None:
    path = imported(seeded(resnet(2, "instance", dropout=True)), tmp_path).path
    drawn = translate.load(path, device="cpu").translate(image(), samples=2, seed=1)
    assert drawn.shape[0] == 2
    assert not torch.equal(drawn[0], drawn[1])


def test_the_file_is_a_translator_like_any_other(tmp_path: Path) -> None:
    network = seeded(resnet(1, "instance", ends=(1, 3)))
    path = imported(
        network, tmp_path, direction="backward", depth="uint16", range="0..4095", size="64x96", licence="MIT", about="x"
    ).path
    tensors, facts = checkpoint.load(path, "translator")
    assert facts["licence"] == "MIT"
    assert facts["about"] == "x"
    assert all(name.startswith("backward/") for name in tensors)
    translator = translate.load(path, direction="backward", device="cpu")
    assert translator.size == (64, 96)
    assert translator.source == Domain(1, "uint16", 0.0, 4095.0, ranged=True)
    assert translator.target.channels == 3
    translate.images.write(tmp_path / "in.png", translate.images.Image(np.full((20, 24, 1), 4095, np.uint16)))
    result = translate.convert(path, tmp_path / "in.png", tmp_path / "out.png")
    assert result.converted == 1
    read = translate.images.load(tmp_path / "out.png").pixels
    wanted = translator.translate(torch.ones(1, 1, 20, 24))
    assert read.shape == (20, 24, 3)
    np.testing.assert_allclose(read, ((wanted[0].permute(1, 2, 0) + 1) / 2 * 4095).round().numpy(), atol=1)
    facts = checkpoint.load(imported(network, tmp_path, overwrite=True).path)[1]
    assert not {"licence", "about"} & facts.keys()


def test_safetensors_and_entries_of_a_larger_file_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = seeded(resnet(1, "instance"))
    save_file(network.state_dict(), tmp_path / "theirs.safetensors")
    result = translate.import_network(tmp_path / "theirs.safetensors", output=tmp_path / "ours.safetensors")
    assert_same(network, result.path)
    torch.save({"epoch": 5, "model": network.state_dict()}, tmp_path / "all.pth")
    with pytest.raises(TranslateError, match="epoch .int.*--entry model"):
        translate.import_network(tmp_path / "all.pth", output=tmp_path / "b.safetensors")
    result = translate.import_network(tmp_path / "all.pth", output=tmp_path / "b.safetensors", entry="model")
    assert_same(network, result.path)
    with pytest.raises(TranslateError, match=r"no entry 'modl'; did you mean model\?"):
        translate.import_network(tmp_path / "all.pth", output=tmp_path / "c.safetensors", entry="modl")


def test_networks_beside_each_other_are_named_by_what_their_tensors_begin_with(tmp_path: Path) -> None:
    both = {"netG_A": seeded(resnet(1, "instance")), "netG_B": seeded(unet(5, "batch"))}
    torch.save(
        {f"{key}.{name}": each for key, one in both.items() for name, each in one.state_dict().items()},
        tmp_path / "a.pth",
    )
    with pytest.raises(TranslateError, match="lie below netG_A, netG_B, of which --entry netG_A would name one; "):
        translate.import_network(tmp_path / "a.pth", output=tmp_path / "a.safetensors")
    for entry, network in both.items():
        result = translate.import_network(tmp_path / "a.pth", output=tmp_path / f"{entry}.safetensors", entry=entry)
        assert_same(network, result.path)


def changed(change: Callable[[dict[str, Any]], Any], network: nn.Module | None = None) -> bytes:
    """A file of torch with a state dict that was changed."""
    state = dict((network or seeded(resnet(1, "batch"))).state_dict())
    state = change(state) or state
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def discriminator() -> nn.Module:
    layers = [nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(4, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 4)]
    return Skip("model", layers, None)


def optimizer() -> dict[str, Any]:
    network = nn.Conv2d(1, 1, 1)
    built = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 1, 1, 1)).sum().backward()
    built.step()
    return built.state_dict()


def squeezed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    return file.getvalue()


def pickled() -> bytes:
    file = io.BytesIO()
    torch.save(nn.Conv2d(1, 1, 1), file)
    return file.getvalue()


def scripted() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/code/__torch__.py", "def f(): pass")
        archive.writestr("net/constants.pkl", b"")
    return file.getvalue()


CONV = "model.1.weight"
REFUSED: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "discriminator": (lambda: changed(dict, discriminator()), "looks like a discriminator .model.0.weight .4, 3, 4, 4."),
    "optimizer": (lambda: changed(lambda state: optimizer()), "the state of an optimizer, and no network"),
    "module": (pickled, r"a whole pickled object .torch.nn.modules.conv.Conv2d., whose loading would run code"),
    "script": (scripted, "TorchScript program, which is code"),
    "bomb": (squeezed, "unpacks to more than it holds"),
    "text": (lambda: b"no weights at all", "damaged, or no file of tensors"),
    "nothing": (lambda: b"", "damaged, or no file of tensors"),
    "truncated": (lambda: changed(dict)[:-3000], "damaged"),
    "list": (lambda: changed(lambda state: list(state.values())), "holds a list instead of tensors by name"),
    "empty": (lambda: changed(lambda state: state.clear()), "holds no tensors"),
    "half": (lambda: changed(lambda state: {k: v.half() for k, v in state.items()}), "in float16, where float32"),
    "bf16": (lambda: changed(lambda s: s.update({CONV: s[CONV].bfloat16()})), "'model.1.weight' in bfloat16"),
    "double": (lambda: changed(lambda s: s.update({CONV: s[CONV].double()})), "'model.1.weight' in float64"),
    "whole": (lambda: changed(lambda s: s.update({CONV: s[CONV].int()})), "is of torch.int32, where a ResNet generator"),
    "nan": (lambda: changed(lambda s: s.update({CONV: s[CONV] / 0})), "'model.1.weight' that are not"),
    "infinite": (lambda: changed(lambda s: s.update({"model.2.bias": s["model.2.bias"] - torch.inf})), "'model.2.bias' that are not"),
    "missing": (lambda: changed(lambda s: {k: v for k, v in s.items() if k != "model.15.bias"}), "lacks 'model.15.bias"),
    "extra": (lambda: changed(lambda s: s.update({"model.99.weight": torch.ones(2)})), r"holds model.99.weight \(2,\)"),
    "shape": (
        lambda: changed(lambda s: s.update({"model.4.weight": torch.ones(8, 4, 5, 5)})),
        r"'model.4.weight' has the shape \(8, 4, 5, 5\), where a ResNet generator has \(8, 4, 3, 3\)",
    ),
    "norm": (lambda: changed(lambda s: s.update({"model.2.weight": torch.ones(5)})), r"'model.2.weight' has the shape"),
    "filter": (
        lambda: changed(lambda s: s.update({"model.7.filt": 2 * s["model.7.filt"]}), seeded(resnet(1, "instance", down=True))),
        "model.7.filt is another filter",
    ),
    "hd": (
        lambda: changed(lambda s: {k.replace("model.10.", "model.16."): v for k, v in s.items()}),
        r"blocks begin at model.16, where .* begin at model.10 \(it has 4\)",
    ),
    "sparse": (lambda: changed(lambda s: s.update({CONV: s[CONV].to_sparse()})), "in a form that no layer has"),
    "large": (lambda: changed(lambda s: s.update({CONV: torch.ones(1).expand(10**6, 3, 7, 7)})), "larger than the file"),
    "number": (lambda: changed(lambda s: {5: s[CONV]}), "is no name of a layer"),
    "escape": (lambda: changed(lambda s: {"model\x1b[2J.1": s[CONV]}), "is no name of a layer"),
    "unet": (
        lambda: changed(lambda s: {k: v for k, v in s.items() if "3.model.3" not in k}, seeded(unet(6, "batch"))),
        "lacks 'model.model.1.model.3.model.",
    ),
    "deep": (
        lambda: changed(lambda s: {"model.model.0.weight": torch.ones(1, 1, 4, 4)} | {
            f"model.model.1.model.{'3.model.' * n}1.weight": torch.ones(1, 1, 4, 4) for n in range(14)
        }),
        "does not end after 12 blocks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_generator_is_refused_in_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, told = REFUSED[name]
    (tmp_path / "net.pth").write_bytes(make())
    with pytest.raises(TranslateError, match=told) as refused:
        translate.import_network(tmp_path / "net.pth", output=tmp_path / "ours.safetensors")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ours.safetensors").exists()
    with pytest.raises(SystemExit) as ended:
        main(["import", str(tmp_path / "net.pth"), "-o", str(tmp_path / "ours.safetensors")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_importer_keeps_its_contract() -> None:
    state = seeded(resnet(1, "instance", down=True)).state_dict()
    testing.check_importer("cyclegan_pix2pix", example=state)


def test_every_tensor_is_needed(tmp_path: Path) -> None:
    """Whichever is missing, the file is refused: but for statistics, which are left out anyway."""
    state = seeded(unet(2, "batch")).state_dict()
    for name in state:
        torch.save({key: value for key, value in state.items() if key != name}, tmp_path / "net.pth")
        if name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked"):
            translate.import_network(tmp_path / "net.pth", output=tmp_path / "o.safetensors", overwrite=True)
            continue
        with pytest.raises(TranslateError, match="cannot be imported: its|cannot be imported: it "):
            translate.import_network(tmp_path / "net.pth", output=tmp_path / "o.safetensors", overwrite=True)


def test_an_output_that_exists_is_kept(tmp_path: Path) -> None:
    network = seeded(resnet(1, "instance"))
    path = imported(network, tmp_path).path
    before = path.read_bytes()
    with pytest.raises(TranslateError, match="exists already; name another place, or replace it with --overwrite"):
        imported(network, tmp_path)
    assert path.read_bytes() == before
    for output, told in [
        (tmp_path, "is named otherwise"),
        (tmp_path / "folder.safetensors", "is a folder"),
        (tmp_path / "net.onnx", "is named otherwise"),
    ]:
        (tmp_path / "folder.safetensors").mkdir(exist_ok=True)
        with pytest.raises(TranslateError, match=told):
            translate.import_network(tmp_path / "latest_net_G.pth", output=output, overwrite=True)
    with pytest.raises(TranslateError, match="is the file to import itself"):
        translate.import_network(path, output=path, overwrite=True)
    with pytest.raises(TranslateError, match="a translator of ours already"):
        translate.import_network(path, output=tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"range": "0-1"}, "a range is LOW..HIGH"),
        ({"range": "5..5"}, "a range is LOW..HIGH"),
        ({"range": "nan..1"}, "a range is LOW..HIGH"),
        ({"direction": "sideways"}, "direction must be 'forward' or 'backward'"),
        ({"importer": "cyclegan_pix2pix(norm=batch)"}, "its norm is not batch; leave norm at auto"),
        ({"importer": "cyclegan_pix2pix(statistics=running)"}, "no running statistics"),
        ({"importer": "cyclegan"}, r"no importer 'cyclegan'; did you mean cyclegan_pix2pix\?"),
        ({"size": "30x30"}, "sides that divide by 4"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match=told):
        imported(seeded(resnet(1, "instance")), tmp_path, **options)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    for path, told in [
        (tmp_path / "missing.pth", "No such file"),
        (tmp_path, "is no file"),
    ]:
        with pytest.raises(TranslateError, match=told):
            translate.import_network(path, output=tmp_path / "ours.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(TranslateError, match="needs no import: convert with it as it is, translate convert "):
        translate.import_network(tmp_path / "model.onnx", output=tmp_path / "ours.safetensors")
    # What convert does not take must not be sent there.
    (tmp_path / "model.pt2").write_bytes(b"x")
    with pytest.raises(TranslateError, match="is a program of torch, .* export it as .onnx"):
        translate.import_network(tmp_path / "model.pt2", output=tmp_path / "ours.safetensors")


def test_the_command_tells_what_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(seeded(resnet(9, "instance")).state_dict(), tmp_path / "latest_net_G.pth")
    with pytest.raises(SystemExit) as ended:
        main(["import", str(tmp_path / "latest_net_G.pth"), "-o", str(tmp_path / "cats.safetensors")])
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "took latest_net_G.pth for a ResNet-9 generator with instance norm, 3 -> 3 channels, 4 of its first map"
    )
    assert lines[1].startswith("  note:    instance norm has no weights to be seen by")
    assert lines[-1].endswith("cats.safetensors IN OUT")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data")
@pytest.mark.parametrize("name", ["fast_style/wave.pth", "zero_dce/Epoch99.pth"])
def test_real_networks_of_another_architecture_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        TranslateError, match=r"\(.*conv.*weight .*are of another architecture.*as an .onnx file"
    ) as error:
        translate.import_network(DATA / name, output=tmp_path / "ours.safetensors")
    assert "\n" not in str(error.value)


def test_a_changed_byte_anywhere_in_the_tensors_is_found(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    torch.save(seeded(resnet(1, "instance")).state_dict(), path)
    sound = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        places = [each.header_offset for each in archive.infolist() if "/data/" in each.filename]
        sizes = [each.file_size for each in archive.infolist() if "/data/" in each.filename]
    weight = max(range(len(sizes)), key=lambda number: sizes[number])
    place = places[weight] + 256 + sizes[weight] // 2
    path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
    with pytest.raises(TranslateError, match=r"latest_net_G.pth is damaged: its bytes do not fit their checksums"):
        translate.import_network(path, output=tmp_path / "ours.safetensors")
    assert not (tmp_path / "ours.safetensors").exists()


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    network = seeded(resnet(1, "instance"))
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        made = imported(network, tmp_path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert_same(network, made.path)


def test_entries_within_entries_are_named_as_they_are_given(tmp_path: Path) -> None:
    network = seeded(resnet(1, "instance"))
    torch.save({"nets": {"gen a.b": network.state_dict()}}, tmp_path / "all.pth")
    with pytest.raises(TranslateError, match="--entry nets$"):
        translate.import_network(tmp_path / "all.pth", output=tmp_path / "a.safetensors")
    with pytest.raises(TranslateError, match=r"--entry 'nets\.gen a\.b'$"):
        translate.import_network(tmp_path / "all.pth", output=tmp_path / "a.safetensors", entry="nets")
    result = translate.import_network(tmp_path / "all.pth", output=tmp_path / "a.safetensors", entry="nets.gen a.b")
    assert_same(network, result.path)
    with pytest.raises(TranslateError, match="no entry 'gen'; "):
        translate.import_network(tmp_path / "all.pth", output=tmp_path / "b.safetensors", entry="nets.gen")


@pytest.mark.parametrize(("depth", "limits"), [("uint8", "0..300"), ("uint8", "-5..20"), ("uint16", "0..65536")])
def test_a_range_that_files_cannot_hold_is_refused(depth: Any, limits: str, tmp_path: Path) -> None:
    with pytest.raises(
        TranslateError, match=f"files of {depth} hold 0 to (255|65535), which the range '{limits}' leaves"
    ):
        imported(seeded(resnet(1, "instance")), tmp_path, depth=depth, range=limits)
    assert imported(seeded(resnet(1, "instance")), tmp_path, depth="float32", range=limits).path.exists()


def test_an_option_that_is_needed_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["import", str(tmp_path / "net.pth")])
    assert ended.value.code == 2
    assert "Missing option '--output' / '-o'" in capsys.readouterr().err
