"""Setup: what a training is made of, what it refuses, and that any kind of data trains and converts end to end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorder import Recorder

import translate
from translate import images
from translate.adversary import Adversary
from translate.compute import algorithms
from translate.errors import TranslateError
from translate.method import Method
from translate.plugins import Catalog
from translate.ranks import ProcessGroup
from translate.run import Config, Run
from translate.setup import Setup, is_recorded

NETWORKS = {"generator": "unet(width=4)", "discriminator": "patch(width=4, receptive_field=16)"}
SMALL: dict[str, Any] = {"size": 32, "batch": 2, "steps": 2, **NETWORKS}

METHODS = '''
from torch import nn
from translate import hookimpl
from translate.method import Method, Needs, Update

class Toy(Method):
    """A toy."""
    wants = Needs()
    def __init__(self, parts):
        super().__init__()
        self.network = nn.Conv2d(3, 3, 1)
        self.seen = []
    @property
    def needs(self): return self.wants
    @property
    def players(self): return {"network": self.network}
    @property
    def translators(self): return {"forward": self.network}
    def updates(self, batch, step):
        self.seen.append({name: tuple(value.shape) for name, value in batch.items()})
        yield Update("network", {"l": self.network(batch["source"]).square().mean()})

class Paired(Toy):
    """Needs pairs."""
    wants = Needs(paired=True)

class Labelled(Toy):
    """Needs labels."""
    wants = Needs(labels=frozenset({"target"}))

class Mismatched(Toy):
    """Needs mismatched sources."""
    wants = Needs(paired=True, streams=("mismatched",))

@hookimpl
def methods():
    return {"toy": Toy, "paired": Paired, "labelled": Labelled, "mismatched": Mismatched}
'''


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "toy_methods.py"
    path.write_text(METHODS)
    return str(path)


def folder_of(
    root: Path, names: list[str], *, suffix: str = "png", size: tuple[int, int] = (40, 48), seed: int = 0
) -> Path:
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        images.write(root / f"{name}.{suffix}", images.Image(pixels, None))
    return root


def setup(method: str, data: Path | str, **options: Any) -> Setup:
    return Setup.make(Config.from_values({"method": method, "data": str(data), "size": 32, "steps": 2, **options}))


def test_needs_are_held_against_the_data(plugin: str, tmp_path: Path) -> None:
    folder_of(tmp_path / "data" / "trainA", ["a", "b"])
    folder_of(tmp_path / "data" / "trainB", ["x", "y", "z"])
    unpaired = setup("toy", tmp_path / "data", plugins=[plugin], layout="unpaired")
    with unpaired.loader() as loader:
        assert loader.batch(0)["target"].shape == (1, 3, 32, 32)
    with pytest.raises(TranslateError, match="paired needs pairs, and .* is unpaired"):
        setup("paired", tmp_path / "data", plugins=[plugin], layout="unpaired")
    with pytest.raises(TranslateError, match="labelled needs labels of the target"):
        setup("labelled", tmp_path / "data", plugins=[plugin], layout="unpaired")


def test_streams_that_a_method_asks_for_are_in_its_batch(plugin: str, tmp_path: Path) -> None:
    made = setup("mismatched", "demo(size=32, count=3)", plugins=[plugin], batch=2)
    with made.loader() as loader:
        batch = loader.batch(0)
    assert batch.keys() == {"source", "source_label", "target", "target_label", "mismatched"}
    assert batch["mismatched"].shape == (2, 3, 32, 32)


def test_an_unknown_method_is_named_before_the_data_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="there is no method 'pix2pi'; did you mean pix2pix"):
        setup("pix2pi", tmp_path / "nowhere")


def test_half_matched_and_empty_data_is_refused_in_one_sentence(tmp_path: Path) -> None:
    folder_of(tmp_path / "half" / "source", ["a", "b", "c"])
    folder_of(tmp_path / "half" / "target", ["a", "b", "d"])
    with pytest.raises(TranslateError, match="not fit for training: .*c.*; see `translate data`") as caught:
        setup("pix2pix", tmp_path / "half", layout="folders(source=source, target=target)")
    assert "\n" not in str(caught.value)
    (tmp_path / "empty" / "source").mkdir(parents=True)
    (tmp_path / "empty" / "target").mkdir()
    with pytest.raises(TranslateError):
        setup("pix2pix", tmp_path / "empty", layout="folders(source=source, target=target)")


def test_unreadable_images_are_named_before_a_folder_is_made(tmp_path: Path) -> None:
    for side in ("source", "target"):
        folder_of(tmp_path / "data" / side, ["a", "b", "c"])
    (tmp_path / "data" / "target" / "b.png").write_bytes((tmp_path / "data" / "target" / "b.png").read_bytes()[:200])
    with pytest.raises(TranslateError, match=r"1 of 6 images cannot be used: .*b\.png"):
        translate.fit("pix2pix", tmp_path / "data", output=tmp_path / "run", broken="stop", **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_broken_validation_image_leaves_no_folder(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for side in ("source", "target"):
            folder_of(tmp_path / "data" / split / side, ["a", "b"])
    (tmp_path / "data" / "val" / "source" / "a.png").write_bytes(b"broken")
    with pytest.raises(TranslateError, match=r"a\.png"):
        translate.fit("pix2pix", tmp_path / "data", output=tmp_path / "run", broken="stop", **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_run_remembers_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipeline.yaml").write_text("- HorizontalFlip: {p: 0.5}\n")
    run = trained(Path("demo(size=32, count=4)"), tmp_path / "run", albumentations="pipeline.yaml")
    assert Run.open(run.folder).config.albumentations == tmp_path / "pipeline.yaml"
    monkeypatch.chdir("/")
    assert translate.resume(run.folder, steps=3).step == 3


def test_steps_come_from_epochs() -> None:
    assert setup("pix2pix", "demo(size=32, count=7)", steps=None, epochs=3, batch=2).steps == 11
    assert setup("pix2pix", "demo(size=32, count=7)", steps=None).steps == 1400
    assert setup("pix2pix", "demo(size=32, count=7)", steps=None, epochs=1, batch=2, accumulate=2).steps == 2


@pytest.mark.parametrize(("memory_format", "expected"), [("channels_last", True), ("contiguous", False)])
def test_networks_are_laid_out_as_asked(memory_format: str, expected: bool) -> None:
    made = setup("pix2pix", "demo(size=32, count=2)", memory_format=memory_format, generator="unet(width=4)")
    assert made.config.memory_format == memory_format
    kernels = [weight for weight in made.method.parameters() if weight.dim() == 4 and min(weight.shape) > 2]
    assert kernels
    assert {weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels} == {expected}


@pytest.mark.parametrize(("convolutions", "expected"), [("auto", "fast"), ("fast", "fast"), ("direct", "direct")])
def test_convolutions_are_computed_as_asked(convolutions: str, expected: str) -> None:
    generator = "resnet(width=32, blocks=1)"
    made = setup("pix2pix", "demo(size=32, count=2)", convolutions=convolutions, generator=generator)
    assert made.config.convolutions == expected
    assert bool(algorithms(made.method)) == (expected == "fast")


def test_the_engine_computes_by_the_configuration() -> None:
    made = setup(
        "pix2pix", "demo(size=32, count=2)", **NETWORKS, steps=7, precision="bf16", clip_norm=0.25, ema=0.5, seed=11,
        schedule="cosine",
    )  # fmt: skip
    engine = made.engine
    assert (engine.precision, engine.clip_norm, engine.seed, engine.steps) == ("bf16", 0.25, 11, 7)
    assert engine.device.type == "cpu"
    assert engine.schedule(5, 10) == pytest.approx(0.5)
    with made.loader() as loader:
        engine.step([loader.batch(0)])
    averaged = [name for name in engine.tensors() if name.startswith("ema/")]
    assert averaged


def test_observers_are_told_how_far_decoding_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(Catalog, "tell", lambda self, event, **arguments: told.append((event, arguments)))
    setup("pix2pix", "demo(size=32, count=3)").loader().close()
    assert ("images_decoded", {"done": 6, "total": 6}) in told
    assert {event for event, _ in told} == {"images_decoded"}


def test_decoded_images_are_kept_in_the_folder_asked_for(tmp_path: Path) -> None:
    for seed, side in enumerate(("source", "target")):
        folder_of(tmp_path / "data" / side, ["a", "b"], seed=seed)
    with setup("pix2pix", tmp_path / "data", cache_folder=tmp_path / "kept").loader() as loader:
        first = loader.batch(0)["source"]
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 2
    with setup("pix2pix", tmp_path / "data", cache_folder=tmp_path / "kept").loader() as loader:
        assert torch.equal(loader.batch(0)["source"], first)


@pytest.mark.parametrize(("unmatched", "more"), [(1, ""), (2, r" \(and 1 more problems\)")])
def test_problems_of_the_data_are_counted(unmatched: int, more: str, tmp_path: Path) -> None:
    folder_of(tmp_path / "data" / "source", ["a", "b", "c"])
    folder_of(tmp_path / "data" / "target", ["a", "b", "d"][: 1 + unmatched])
    with pytest.raises(
        TranslateError, match=f"is not fit for training: .*has no partner in .*{more}; see `translate data`"
    ):
        setup("pix2pix", tmp_path / "data", layout="folders(source=source, target=target)")


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, True), ({"accumulate": 2}, False), ({"recompute": True}, False), ({"graphs": False}, False)],
)
def test_which_steps_are_recorded(options: dict[str, Any], expected: bool) -> None:
    config = Config.from_values({"method": "pix2pix", "data": "demo", **options})
    assert is_recorded(config, torch.device("cuda"), ProcessGroup()) == expected
    assert not is_recorded(config, torch.device("cpu"), ProcessGroup())
    assert not is_recorded(config, torch.device("cuda"), ProcessGroup(0, 2))


@pytest.mark.parametrize(("kind", "expected"), [("cpu", False), ("cuda", True)])
def test_passes_are_put_together_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch, kind: str, expected: bool) -> None:
    together: list[bool] = []
    monkeypatch.setattr("translate.setup.pick_device", lambda name: torch.device(kind))
    # The method stays where it is, and the engine is not made: this machine may have no GPU.
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *given, **named: self)

    def engine(method: Method, *given: Any, **named: Any) -> None:
        together.extend(each.together for each in method.modules() if isinstance(each, Adversary))
        raise TranslateError("enough is known")

    monkeypatch.setattr("translate.setup.Engine", engine)
    with pytest.raises(TranslateError, match="enough is known"):
        setup(
            "cyclegan", "demo(size=32, count=2)", precision="float32", memory_format="contiguous", graphs=False,
            generator="unet(width=4)", discriminator="patch(width=4, receptive_field=16, norm=none)",
        )  # fmt: skip
    assert together == [expected] * 2


def test_recomputed_networks_are_not_compiled() -> None:
    with pytest.raises(TranslateError, match="what is recomputed cannot be compiled"):
        setup("pix2pix", "demo(size=32, count=2)", compile="yes", recompute=True, **NETWORKS)


def test_a_resumed_run_has_the_networks_of_files_that_may_be_gone() -> None:
    resources = {"runs/judge": {"method": "classifier"}}
    made = Setup.make(
        Config.from_values({"method": "pix2pix", "data": "demo(size=32, count=2)", "size": 32, **NETWORKS}),
        resources=resources,
    )
    assert made.metadata["resources"] == resources


def test_generators_and_no_others_are_computed_twice_in_a_step() -> None:
    def passes(recompute: bool) -> Counter[str]:
        made = setup("pix2pix", "demo(size=32, count=2)", **NETWORKS, recompute=recompute)
        counts: Counter[str] = Counter()
        for name, network in made.method.players.items():
            first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
            first.register_forward_hook(lambda *given, name=name: counts.update([name]))
        with made.loader() as loader:
            made.engine.step([loader.batch(0)])
        return counts

    kept = passes(recompute=False)
    assert kept["generator"] == 1
    assert passes(recompute=True) == {"generator": 2, "discriminator": kept["discriminator"]}


def test_all_that_is_made_belongs_to_the_group_that_was_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    group = ProcessGroup()
    monkeypatch.setattr("translate.setup.join", lambda device: group)
    made = setup("pix2pix", "demo(size=32, count=2)", **NETWORKS)
    assert made.group is made.engine.group is group


def test_steps_are_recorded_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.setup.cuda_graphs", lambda device: Recorder)
    for recorded in (True, False):
        monkeypatch.setattr("translate.setup.is_recorded", lambda *given, recorded=recorded: recorded)
        made = setup(
            "pix2pix", "demo(size=32, count=2)", steps=9, **{**NETWORKS, "generator": "unet(width=4, dropout=0)"}
        )
        with made.loader() as loader:
            for step in range(3):
                made.engine.step([loader.batch(step)])
        assert made.engine.replays is recorded


def trained(data: Path, folder: Path, **options: Any) -> Run:
    return translate.fit("pix2pix", data, output=folder, **{**SMALL, **options})


def test_side_by_side_jpegs(tmp_path: Path) -> None:
    folder_of(tmp_path / "data" / "train", list("abcd"), suffix="jpg", size=(32, 64))
    run = trained(tmp_path / "data", tmp_path / "run")
    assert translate.load(run.folder).source.channels == 3


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_many_channels_and_depths(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    high = 65535 if dtype == "uint16" else 1.0
    arrays = {
        "source": (rng.random((5, 36, 36, 5)) * high).astype(dtype),
        "target": (rng.random((5, 36, 36, 2)) * high).astype(dtype),
    }
    np.savez(tmp_path / "data.npz", **arrays)
    run = trained(tmp_path / "data.npz", tmp_path / "run")
    translator = translate.load(run.folder)
    assert (translator.source.channels, translator.target.channels) == (5, 2)
    answer = translator(arrays["source"][0])
    assert answer.shape == (36, 36, 2)
    assert answer.dtype == np.dtype(dtype)
    np.save(tmp_path / "one.npy", arrays["source"][1])
    done = translate.convert(run.folder, tmp_path / "one.npy", tmp_path / "out.npy")
    assert done.converted == 1, done.failed
    written = np.load(tmp_path / "out.npy")
    assert written.shape == (36, 36, 2)
    assert written.dtype == np.dtype(dtype)


@pytest.mark.parametrize("way", ["one-hot", "palette"])
def test_class_maps_as_a_source(way: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder_of(tmp_path / "data" / "photo", list("abcd"), size=(40, 40))
    (tmp_path / "data" / "label").mkdir()
    for name in "abcd":
        indices = np.kron(rng.integers(0, 6, (5, 5)), np.ones((8, 8))).astype(np.uint8)
        indices[0, 0] = 5
        images.write(tmp_path / "data" / "label" / f"{name}.png", images.Image(indices[..., None], None))
    palette = tmp_path / "palette.png"
    images.write(palette, images.Image(rng.integers(0, 256, (1, 6, 3), dtype=np.uint8), None))
    extra = f", palette={str(palette)!r}" if way == "palette" else ""
    run = trained(tmp_path / "data", tmp_path / "run", layout=f"folders(source=label, target=photo{extra})")
    translator = translate.load(run.folder)
    assert translator.source.classes == 6
    assert translator.source.channels == (3 if way == "palette" else 6)
    done = translate.convert(run.folder, tmp_path / "data" / "label", tmp_path / "out")
    assert done.converted == 4, done.failed
    assert images.read(tmp_path / "out" / "a.png").pixels.shape == (40, 40, 3)


def test_an_albumentations_pipeline_trains_and_resumes_exactly(tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(
        "- HorizontalFlip: {p: 0.5}\n- RandomCrop: {height: 32, width: 32}\n- RandomBrightnessContrast: {p: 0.5}\n"
    )
    one = trained(Path("demo(size=40, count=5)"), tmp_path / "one", albumentations=pipeline, workers=1)
    two = trained(Path("demo(size=40, count=5)"), tmp_path / "two", albumentations=pipeline, workers=3)
    for first, second in zip(one.metrics, two.metrics, strict=True):
        same = {"images_per_second": 0, "seconds": 0, "memory": 0}
        assert {**first, **same} == {**second, **same}


def test_real_street_scenes(tmp_path: Path) -> None:
    camvid = Path(__file__).parents[1] / "../shared/data/paired/camvid"
    if not camvid.exists():
        pytest.skip("the CamVid photos are not here")
    run = trained(camvid, tmp_path / "run", load_size=36)
    done = translate.convert(run.folder, camvid / "test" / "label", tmp_path / "out", at=32)
    assert done.converted == 30
    assert not done.failed
