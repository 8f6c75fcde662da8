"""The guard: each detector on a small training that goes wrong, and silent on one that goes well."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import ran
from torch import Tensor, nn

import translate
from translate import checkpoint
from translate.adversary import Adversary
from translate.balance import Balance, levels
from translate.columns import Made
from translate.discriminator import DiscriminatorOutput
from translate.parts import build
from translate.plugins import discover
from translate.run import Run
from translate_guard.pictures import look_at_outputs

PLUGIN = str(Path(__file__).with_name("failing.py"))
SIDE = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Smooth pictures and their colours exchanged, white targets, and pictures without a content."""
    folder = tmp_path_factory.mktemp("guarded")
    draws = np.random.default_rng(0)
    coarse = draws.integers(40, 216, (40, 4, 4, 3)).astype(np.uint8)
    source = coarse.repeat(4, 1).repeat(4, 2)
    white = np.full_like(source, 200) + draws.integers(0, 40, (40, SIDE, SIDE, 3)).astype(np.uint8)
    arrays = {
        "pairs": {"source": source, "target": source[..., [1, 2, 0]] // 2 + 60},
        "white": {"source": source, "target": white},
        "same": {"source": source, "target": np.repeat(source[:1], 40, 0)},
    }
    for name, each in arrays.items():
        np.savez(folder / f"{name}.npz", **each)  # type: ignore[arg-type]
    return {name: folder / f"{name}.npz" for name in arrays}


def train(method: str, data: Path, folder: Path, **options: Any) -> Run:
    asked: dict[str, Any] = {
        "size": SIDE, "load_size": SIDE, "flip": False, "steps": 320, "log_every": 20, "sample_every": 40,
        "save_every": 1000, "batch": 4, "plugins": [PLUGIN], "optimizer": ["adam(lr=0.05)"],
    }  # fmt: skip
    return translate.fit(method, data, output=folder, **asked | options)


def rows_of(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "guard.jsonl").read_text().splitlines()]


def warnings_of(run: Run) -> list[str]:
    """The warnings of a run as ``detector:subject``."""
    return [f"{row['warning']}:{row['subject']}" for row in rows_of(run) if "warning" in row]


@pytest.mark.parametrize("fault", ["none", "copied", "inverted", "variation", "saturated", "checkerboard"])
def test_what_a_translator_does_wrong_is_told_once(
    data: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    run = train("failing", data["pairs"], tmp_path / "run", fault=fault)
    found = warnings_of(run)
    assert found.count(f"{fault}:forward") == (fault != "none")
    # A white picture does not vary either.
    assert set(found) - {f"{fault}:forward"} <= ({"variation:forward"} if fault == "saturated" else set())
    assert caplog.text.count("what to do:") == len(found)
    if found:
        row = next(row for row in rows_of(run) if row.get("warning") == fault)
        assert row["text"] in caplog.text
        assert row["advice"] in caplog.text
    # Each has looked.
    seen = rows_of(run)[-1]["seen"]
    assert {"copied:forward", "inverted:forward", "variation:forward", "saturated:forward"} <= seen.keys()


@pytest.mark.parametrize("fault", ["none", "memorised", "repeats"])
def test_what_a_sampler_does_wrong_is_told(data: dict[str, Path], tmp_path: Path, fault: str) -> None:
    run = train(
        "sampling",
        data["pairs"],
        tmp_path / "run",
        fault=fault,
        batch=36,
        optimizer=[f"adam(lr={0.001 if fault == 'none' else 0.05})"],
    )
    assert warnings_of(run) == ([] if fault == "none" else [f"{fault}:sample"])


@pytest.mark.parametrize("loss", ["nonsaturating", "lsgan", "hinge", "relativistic", "fgan", "wasserstein + clip"])
def test_a_discriminator_that_wins_for_long_is_told_for_each_loss(
    data: dict[str, Path], tmp_path: Path, loss: str
) -> None:
    options = {"adversarial": loss, "free": "discriminator", "sample_every": 1000, "log_every": 10, "steps": 200}
    run = train("duel", data["white"], tmp_path / "run", **options)
    found = warnings_of(run)
    # A critic without a bound is meant to be as good as it can.
    assert ("won:adversary" in found) == (not loss.startswith("wasserstein"))
    assert not any(each.startswith("lost") for each in found)


def test_a_discriminator_that_loses_for_long_is_told(data: dict[str, Path], tmp_path: Path) -> None:
    options = {"free": "generator", "sample_every": 1000, "log_every": 10, "steps": 200}
    found = warnings_of(train("duel", data["white"], tmp_path / "run", **options))
    assert "lost:adversary" in found
    assert not any(each.startswith("won") for each in found)
    # It is held, so it has no gradient either.
    assert "gradient:discriminator" in found


@pytest.mark.parametrize("loss", ["nonsaturating", "lsgan"])
def test_a_fair_game_is_not_disturbed(data: dict[str, Path], tmp_path: Path, loss: str) -> None:
    options = {"adversarial": loss, "sample_every": 1000, "log_every": 10, "steps": 200}
    assert warnings_of(train("duel", data["white"], tmp_path / "run", **options)) == []


@pytest.mark.parametrize("well", [False, True])
def test_terms_that_explode_and_gradients_that_end_are_told(data: dict[str, Path], tmp_path: Path, well: bool) -> None:
    run = train(
        "numbers", data["pairs"], tmp_path / "run", well=well, sample_every=1000, log_every=1, steps=300,
        optimizer=[f"far=sgd(lr={0.1 if well else 1.02}, momentum=0.0)", "ending=sgd(lr=0.1, momentum=0.0)"], schedule="none",
    )  # fmt: skip
    found = [each for each in warnings_of(run) if not each.endswith(":sample")]
    assert found == ([] if well else ["gradient:ending", "explosion:far/square"])


def test_constant_data_is_told_at_the_start(
    data: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train("failing", data["same"], tmp_path / "run", steps=1)
    assert warnings_of(run) == ["constant:target"]
    assert "the training images of the target are constant: 100% of them" in caplog.text
    assert warnings_of(train("failing", data["pairs"], tmp_path / "other", steps=1)) == []


def pictures(count: int = 4, *, side: int = 32, seed: int = 0, low: int = 40, high: int = 216) -> Tensor:
    """Smooth pictures (N, 3, side, side) uint8."""
    draws = torch.Generator().manual_seed(seed)
    coarse = torch.randint(low, high, (count, 3, side // 8, side // 8), generator=draws).float()
    return nn.functional.interpolate(coarse, size=(side, side), mode="bilinear").round().to(torch.uint8)


def signs(
    fake: Tensor, source: Tensor, target: Tensor, *, paired: bool = True, train: Tensor | None = None
) -> set[str]:
    """The signs in one look at a translator's outputs."""
    made = {"fake": Made("forward", "source", "target", "target" if paired else None, held_out=True)}
    real = {"source": source, "target": target}
    examples = {"target": pictures(40, seed=9) if train is None else train}
    seen = look_at_outputs({**real, "fake": fake}, made, real, examples)
    return {key.partition(":")[0] for key, each in seen.items() if each.sign}


def test_what_looks_like_a_fault_and_is_none() -> None:
    source, other = pictures(seed=1), pictures(seed=2)
    assert signs(other, source, other) == set()
    # The domains are nearly the same, as where noise is taken away: a copy is told, a translation is not.
    noisy = (source.int() + torch.randint(-30, 31, source.shape)).clamp(0, 255).to(torch.uint8)
    assert signs(source, noisy, source) == set()
    assert signs(noisy, noisy, source) == {"copied"}
    # A hole is filled in an image that is else the same.
    assert signs(source, source, source) == set()
    # The target is the inverse, of pairs and of others; white on black from black on white.
    assert signs(255 - source, source, 255 - source) == set()
    assert signs(255 - source, source, source) == {"inverted"}
    dark, bright = pictures(seed=3, high=80), pictures(seed=4, low=170)
    assert signs(255 - dark, dark, bright, paired=False) == set()
    assert signs(255 - source, source, other, paired=False) == {"inverted"}
    # Real images have the pattern, too.
    tile = 40 * torch.tensor([[1, -1], [-1, 1]]).repeat(16, 16)
    woven = (other.int() + tile).clamp(0, 255).to(torch.uint8)
    assert signs(woven, source, other) == {"checkerboard"}
    assert signs(woven, source, woven) == set()
    # Real images are black and white, too, or hardly vary.
    sharp = (other > 128).to(torch.uint8) * 255
    assert signs(sharp, source, other) == {"saturated"}
    assert signs(sharp, source, sharp) == set()
    alike = (pictures(1, seed=5).int() + torch.arange(4)[:, None, None, None]).to(torch.uint8)
    assert signs(alike, source, other) == {"variation"}
    assert signs(alike, source, alike) == set()


def test_a_training_image_is_memorised_unless_it_is_the_truth() -> None:
    source, other, train = pictures(seed=1), pictures(seed=2), pictures(40, seed=9)
    assert signs(train[:4], source, other, paired=False, train=train) == {"memorised"}
    assert signs(train[:4], source, other, train=train) == {"memorised"}
    # Frames of one film, of which some were held out.
    near = (train[:4].int() + 1).to(torch.uint8)
    assert signs(train[:4], source, near, train=train) == set()
    assert signs(other, source, other, train=train) == set()


def test_few_pictures_are_a_fault_unless_the_data_has_no_more() -> None:
    made = {f"sample {number}": Made("sample", None, "target", None, held_out=False) for number in range(8)}

    def seen(source: Tensor, train: Tensor) -> bool:
        columns = {name: source[torch.arange(4) % len(source)] for name in made}
        return look_at_outputs(columns, made, {"target": train[:4]}, {"target": train})["repeats:sample"].sign

    train = pictures(40, seed=9)
    assert seen(pictures(2), train)
    assert not seen(pictures(2), pictures(2).repeat(20, 1, 1, 1))


def test_balances_of_all_losses_lie_between_chance_and_their_floor() -> None:
    bounded = {"nonsaturating": math.log(4), "minimax": math.log(4), "lsgan": 0.25, "hinge": 2.0, "fgan": 0.0}
    catalog = discover()
    for name, chance in bounded.items():
        found = levels(build(catalog, "adversarial_losses", name))
        assert found is not None
        assert found[0] == pytest.approx(chance, abs=1e-3)
        assert found[1] == pytest.approx(-math.log(4) if name == "fgan" else 0.0, abs=1e-3)
    assert levels(build(catalog, "adversarial_losses", "wasserstein")) == (0.0, None)
    state = torch.random.get_rng_state()

    class Drawn:
        def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
            return (real - fake + torch.rand(1)).exp().sum()

    levels(Drawn())  # type: ignore[arg-type]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_balance_is_that_of_the_last_step_and_is_taken_once() -> None:
    # Of a stage that is over nothing is left to take.
    logits = {1.0: torch.tensor([[3.0, 1.0]]), 0.0: torch.tensor([[1.0, 2.0]])}

    class Two(nn.Module):
        def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
            return DiscriminatorOutput((logits[float(image)], logits[float(image)]))

    adversary = Adversary(Two(), build(discover(), "adversarial_losses", "lsgan"), weight=0.5)
    assert adversary.take_balance() is None
    adversary.discriminator_terms(torch.ones(1), torch.zeros(1))
    adversary.generator_terms(torch.zeros(1), torch.ones(1))
    found = adversary.take_balance()
    # One of two real logits is above the fake at its place; 1/2 (2^2 + 0) / 2 + 1/2 (1 + 4) / 2, and 1/2 (0 + 1) / 2.
    assert found == Balance(0.5, 2.25, 0.25, 0.25, 0.0)
    assert adversary.take_balance() is None


GAME: dict[str, Any] = {"free": "discriminator", "log_every": 10, "schedule": "none"}


def tensors(run: Run) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_watched_training_is_the_same_to_the_bit(data: dict[str, Path], tmp_path: Path, accumulate: int) -> None:
    options = {**GAME, "free": "both", "steps": 30, "sample_every": 5, "accumulate": accumulate}
    with_it = train("duel", data["white"], tmp_path / "with", **options)
    without = train("duel", data["white"], tmp_path / "without", guard=False, **options)
    assert (with_it.folder / "guard.jsonl").exists()
    assert not (without.folder / "guard.jsonl").exists()
    found, wanted = tensors(with_it), tensors(without)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    shown = [[{k: v for k, v in row.items() if k not in ("seconds", "images_per_second", "memory")} for row in run.metrics]
             for run in (with_it, without)]  # fmt: skip
    assert shown[0] == shown[1]


def test_a_resumed_training_goes_on_as_if_it_had_never_stopped(
    data: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train("duel", data["white"], tmp_path / "whole", **GAME, steps=200, sample_every=1000)
    train("duel", data["white"], tmp_path / "parts", **GAME, steps=90, sample_every=1000)
    assert not any(row.get("warning") == "won" for row in rows_of(Run.open(tmp_path / "parts")))
    # What a killed training wrote after its checkpoint is forgotten.
    with (tmp_path / "parts" / "guard.jsonl").open("a") as file:
        file.write('{"step": 95, "seen": {"won:adversary": 0.1}, "signs": []}\n{"step": 9')
    parts = translate.resume(tmp_path / "parts", steps=200)
    found, wanted = tensors(parts), tensors(whole)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)

    def rows(run: Run) -> list[dict[str, Any]]:
        return [
            row for row in rows_of(run) if row["step"] and not any("constant" in key for key in row.get("seen", ()))
        ]

    assert rows(parts) == rows(whole)
    assert "won:adversary" in warnings_of(parts)
    caplog.clear()
    more = translate.resume(tmp_path / "parts", steps=260)
    assert warnings_of(more) == warnings_of(whole)
    assert "what to do" not in caplog.text


def test_a_damaged_record_is_kept_and_told(
    data: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train("failing", data["pairs"], tmp_path / "run", steps=20, log_every=10)
    path = run.folder / "guard.jsonl"
    odd = ['{"step": 1, "seen": [1]}', '{"step": 1, "balances": {"a": [1, 2]}}', '{"step": 1, "signs": [{}]}']
    path.write_text("\n".join(["what", "[1]", *odd, path.read_text()]))
    translate.resume(run.folder, steps=30)
    assert "guard.jsonl holds 5 lines that cannot be read" in caplog.text
    assert (run.folder / "guard.damaged.jsonl").read_text().startswith("what\n[1]\n")
    assert [row["step"] for row in rows_of(run) if "gradient_norms" in row] == [10, 20, 30]


def test_only_the_main_rank_warns_and_two_train_the_same_with_and_without(
    data: dict[str, Path], tmp_path: Path
) -> None:
    given = ["--size=16", "--load-size=16", "--steps=12", "--log-every=4", "--sample-every=4", "--devices=2"]
    found = []
    for name, more in (("with", []), ("without", ["--no-guard"])):
        done = ran("-p", PLUGIN, "fit", "duel", data["same"], *given, "-o", tmp_path / name, *more)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("training images of the target are constant") == (not more)
        found.append(tensors(Run.open(tmp_path / name)))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
