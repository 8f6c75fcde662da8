"""Samplers, classifiers and fixed networks: trained by a toy method, opened again, put to work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import translate
from translate import images
from translate.checkpoint import load as load_tensors
from translate.errors import TranslateError
from translate.frozen import Frozen
from translate.run import Run
from translate.saved import load_classifier, load_sampler

TOYS = str(Path(__file__).with_name("toys.py"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return translate.fit(
        "toy",
        "demo(size=16, count=6)",
        output=tmp_path_factory.mktemp("runs") / "toy",
        plugins=(TOYS,),
        size=16,
        batch=2,
        steps=2,
    )


def test_a_sample_depends_on_its_number_and_the_seed_alone(run: Run) -> None:
    sampler = load_sampler(run.folder, plugins=(TOYS,))
    drawn = sampler.draw([0, 1, 2])
    assert drawn.shape == (3, 3, 16, 16)
    torch.testing.assert_close(sampler.draw([2, 0]), drawn[[2, 0]])
    assert not torch.allclose(drawn[0], drawn[1])
    assert not torch.allclose(sampler.draw([0], seed=1), drawn[:1])


def test_samples_become_files_and_more_go_on_where_fewer_stopped(run: Run, tmp_path: Path) -> None:
    first = translate.sample(run.folder, tmp_path / "few", count=2, plugins=(TOYS,))
    more = translate.sample(run.folder, tmp_path / "more", count=70, plugins=(TOYS,))
    assert [path.name for path in first] == ["000000.png", "000001.png"]
    assert len(more) == 70
    assert images.read(more[0]).pixels.shape == (16, 16, 3)
    for one, other in zip(first, more, strict=False):
        assert np.array_equal(images.read(one).pixels, images.read(other).pixels)
    with pytest.raises(TranslateError, match="count must be a whole number >= 1, or none, not 0"):
        translate.sample(run.folder, tmp_path / "none", count=0, plugins=(TOYS,))


def test_samples_are_drawn_into_the_grid(run: Run) -> None:
    assert sorted(run.samples.iterdir())
    assert images.read(sorted(run.samples.iterdir())[-1]).pixels.shape[0] > 4 * 16


def test_a_folder_is_classified_and_a_broken_image_named(run: Run, tmp_path: Path) -> None:
    for number in range(3):
        images.write(tmp_path / f"{number}.png", images.Image(np.full((20, 30, 3), number * 90, np.uint8), None))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG not really")
    told = list(translate.classify(run.folder, tmp_path, plugins=(TOYS,)))
    assert [each.source.name for each in told] == ["0.png", "1.png", "2.png", "broken.png"]
    judge = load_classifier(run.folder, plugins=(TOYS,))
    assert all(each.label in judge.labels and 1 / 3 <= each.probability <= 1 for each in told[:3])
    assert told[3].error
    white = judge.classify(torch.full((1, 3, 16, 16), 180 / 127.5 - 1))
    assert told[2].probability == pytest.approx(float(white.max()), abs=1e-5)
    with pytest.raises(TranslateError, match="nowhere does not exist; name an image or a folder of images to classify"):
        list(translate.classify(run.folder, tmp_path / "nowhere", plugins=(TOYS,)))


def test_what_is_left_out_of_a_folder_is_named_with_the_predictions(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(b"8BPS")
    with pytest.raises(TranslateError, match=r"holds no images; .*1 \.psd file is left out \(a\.psd\)"):
        list(translate.classify(run.folder, tmp_path, plugins=(TOYS,)))
    images.write(tmp_path / "a.png", images.Image(np.zeros((20, 30, 3), np.uint8), None))
    (tmp_path / "loop").symlink_to("loop")
    told = list(translate.classify(run.folder, tmp_path, plugins=(TOYS,)))
    assert [each.source.name for each in told] == ["a.png", "a.psd", "loop"]
    assert told[0].error is None
    several = list(translate.classify(run.folder, [tmp_path / "a.png", f"{tmp_path}/*.p?d"], plugins=(TOYS,)))
    assert [(each.source.name, each.label, bool(each.error)) for each in several] == [
        ("a.png", told[0].label, False),
        ("a.psd", "", True),
    ]
    assert "is left out: no format that is read here" in (told[1].error or "")
    assert "cannot be entered" in (told[2].error or "")
    (refused, *_) = translate.classify(run.folder, tmp_path / "a.png", max_pixels=599, plugins=(TOYS,))
    assert "more than the limit of 599" in (refused.error or "")


def test_a_classifiers_pass_is_within_the_memory(run: Run, tmp_path: Path) -> None:
    judge = load_classifier(run.folder, plugins=(TOYS,))
    for number in range(3):
        images.write(tmp_path / f"{number}.png", images.Image(np.full((16, 16, 3), number * 90, np.uint8), None))
    sizes: list[int] = []
    judge.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    whole = [each.probability for each in translate.classify(judge, tmp_path)]
    assert sizes == [3]
    need = judge.bytes_for(judge.size)
    sizes.clear()
    parts = [each.probability for each in translate.classify(judge, tmp_path, memory=max(need, 2**14))]
    assert max(sizes) <= max(1, 2**14 // need)
    assert parts == pytest.approx(whole, abs=1e-6)
    with pytest.raises(
        TranslateError, match=r"16 x 16 pixels needs .* for the network on cpu, and 1 bytes may be used"
    ):
        list(translate.classify(judge, tmp_path, memory=1))


def test_from_the_command_line(run: Run, tmp_path: Path) -> None:
    def call(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "translate", "-p", TOYS, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stderr
        return done

    assert "made 3 images in made" in call("sample", str(run.folder), "made", "-n", "3").stdout
    lines = call("classify", str(run.folder), "made", "--json").stdout.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [f"made/00000{number}.png" for number in range(3)]
    (tmp_path / "made" / "000001.png").write_bytes(b"no image")
    broken = call("classify", str(run.folder), "made", code=1)
    assert len(broken.stdout.splitlines()) == 2
    assert "000001.png" in broken.stderr
    told = call("convert", str(run.folder), "made", "out", code=2).stderr
    assert "does not turn images into images; use `translate sample" in told


def test_what_was_not_trained_is_not_there(tmp_path: Path) -> None:
    tiny = {"generator": "unet(width=4)", "discriminator": "patch(width=4, receptive_field=16)"}
    plain = translate.fit("pix2pix", "demo(size=32, count=4)", output=tmp_path / "run", size=32, steps=1, **tiny)
    with pytest.raises(TranslateError, match="keeps no sampler; the method pix2pix has not trained one"):
        load_sampler(plain.folder)
    with pytest.raises(TranslateError, match="keeps no classifier"):
        load_classifier(plain.folder)


def test_a_classifiers_run_becomes_a_fixed_network_that_needs_no_file(run: Run, tmp_path: Path) -> None:
    judge = tmp_path / "judge"
    judge.mkdir()
    (judge / "translator.safetensors").write_bytes(run.translator.read_bytes())
    asked = {"plugins": (TOYS,), "size": 16, "batch": 2, "sees": str(judge), "save_every": 1, "keep": 9}
    second = translate.fit("toy", "demo(size=16, count=6)", output=tmp_path / "second", steps=2, **asked)
    (judge / "translator.safetensors").unlink()
    judge.rmdir()
    # Its tensors came along, did not change, and the run goes on without the file.
    wanted = load_tensors(run.translator)[0]["classify/discriminator.linear.weight"]
    kept = load_tensors(second.checkpoints[-1])[0]
    assert torch.equal(kept["method/sees.network.classifier.discriminator.linear.weight"], wanted)
    second.checkpoints[-1].unlink()
    resumed = translate.resume(second.folder)
    again = load_tensors(resumed.checkpoints[-1])[0]
    assert all(torch.equal(again[name], value) for name, value in kept.items())
    assert load_sampler(second.folder, plugins=(TOYS,)).draw([0]).shape == (1, 3, 16, 16)


def test_a_fixed_network_with_a_file_of_weights(tmp_path: Path) -> None:
    weights = tmp_path / "scale.safetensors"
    save_file({"scale": torch.tensor([1.0, 2.0, 3.0])}, weights)
    made = translate.fit(
        "toy",
        "demo(size=16, count=6)",
        output=tmp_path / "run",
        plugins=(TOYS,),
        size=16,
        steps=1,
        sees=f"seer(weights='{weights}')",
    )
    weights.unlink()
    kept = load_tensors(made.checkpoints[-1])[0]
    assert kept["method/sees.network.scale"].tolist() == [1, 2, 3]
    assert translate.resume(made.folder, steps=2).step == 2
    assert load_classifier(made.folder, plugins=(TOYS,)).labels


def test_a_fixed_network_stays_in_evaluation() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Dropout(0.5))
    fixed = Frozen(network, (8, 8), 3)
    holder = torch.nn.ModuleDict({"fixed": fixed}).train()
    assert not network.training
    assert fixed.latent == (4, 6, 6)
    assert not any(weight.requires_grad for weight in holder.parameters())
    image = torch.rand(1, 3, 8, 8, requires_grad=True)
    fixed(image).sum().backward()
    assert image.grad is not None
    assert image.grad.any()
