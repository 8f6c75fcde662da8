"""Compiled networks: when they are, that they compute the same, and what happens where they cannot be."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch.optim import Adam

from translate import checkpoint
from translate.compute.compilation import COST, HOPED, SETTLING, TIMED, Compilation, Compiled, missing_compiler
from translate.compute.convolutions import convolve_fast
from translate.compute.settings import recompute
from translate.errors import TranslateError
from translate.method import Method
from translate.ranks import ProcessGroup
from translate.run import Run
from translate.testing.loops import differences
from translate.training import fit, resume

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(missing_compiler(CPU) is not None, reason="no C++ compiler")
really = pytest.mark.compiled


class Clock:
    """A clock that a test winds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def trial(monkeypatch: pytest.MonkeyPatch, left: int, plain: float, compiled: float) -> tuple[Compilation, list[str]]:
    """Let a trial run on steps of given lengths."""
    clock, done = Clock(), list[str]()
    monkeypatch.setattr(Compilation, "_compile", lambda self: done.append("compiled"))
    monkeypatch.setattr(Compilation, "_undo", lambda self: done.append("undone"))
    monkeypatch.setattr("translate.compute.compilation.missing_compiler", lambda device: None)
    found = Compilation("auto", [nn.Linear(1, 1)], left=left, group=ProcessGroup(), device=CPU, clock=clock)
    for number in range(3 * (SETTLING + TIMED)):
        clock.now += compiled if done else plain
        decided = found.passed()
        assert decided == (found.chosen != "auto") or number > SETTLING + TIMED
        if found.chosen != "auto":
            break
    return found, done


def test_a_short_run_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    enough = 2 * COST / HOPED
    found, done = trial(monkeypatch, left=int(enough * 0.9), plain=1.0, compiled=0.1)
    assert (found.chosen, done) == ("no", [])


@pytest.mark.parametrize(
    ("compiled", "chosen", "actions"), [(0.8, "yes", ["compiled"]), (0.99, "no", ["compiled", "undone"])]
)
def test_a_long_run_stays_compiled_if_that_is_faster(
    compiled: float,
    chosen: str,
    actions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        found, done = trial(monkeypatch, left=100_000, plain=1.0, compiled=compiled)
    assert (found.chosen, done) == (chosen, actions)
    assert f"{1 / compiled:.2f} times as fast" in caplog.text
    assert not found.passed()


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    make = partial(Compilation, networks=[nn.Linear(1, 1)], left=10**9, group=ProcessGroup(), device=CPU)
    assert make("auto").chosen == "no"
    with pytest.raises(TranslateError, match=r"--compile yes needs a C\+\+ compiler; install it"):
        make("yes")


def test_what_cannot_be_compiled_goes_on_without(caplog: pytest.LogCaptureFixture) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no such thing")

    network = nn.Linear(2, 2)
    compile_ = torch.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda forward, **given: compile_(forward, backend=broken, **given))
        patch.setattr("translate.compute.compilation.missing_compiler", lambda device: None)
        changes: list[str] = []
        changed = partial(changes.append, "compiled")
        Compilation("yes", [network], left=1, group=ProcessGroup(), device=CPU, changed=changed)
        assert changes == ["compiled"]
        image = torch.ones(1, 2)
        with caplog.at_level(logging.WARNING):
            answers = [network(image) for _ in range(3)]
    assert all(torch.equal(answer, nn.functional.linear(image, network.weight, network.bias)) for answer in answers)
    assert caplog.text.count("Linear cannot be compiled and goes on without") == 1


def test_a_trial_that_cannot_begin_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("translate.compute.compilation.missing_compiler", lambda device: None)
    monkeypatch.setattr("translate.compute.compilation.keep_compiled", full)
    clock, network = Clock(), nn.Linear(1, 1)
    make = partial(Compilation, networks=[network], left=100_000, group=ProcessGroup(), device=CPU, clock=clock)
    found = make("auto")
    with caplog.at_level(logging.WARNING):
        for _ in range(SETTLING + TIMED):
            clock.now += 1.0
            decided = found.passed()
    assert (decided, found.chosen) == (True, "no")
    assert "forward" not in network.__dict__
    assert caplog.text.count("networks stay uncompiled: [Errno 28] No space left on device") == 1
    with pytest.raises(
        TranslateError, match="--compile yes needs a folder for compiled code .* TORCHINDUCTOR_CACHE_DIR"
    ):
        make("yes")


def test_an_error_of_the_backward_pass_s_compiler_comes_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """By default it is compiled when it is first needed, in the middle of a step."""

    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no backward pass")

    backend = aot_autograd(fw_compiler=lambda graph, inputs: graph.forward, bw_compiler=broken)
    network, compile_ = nn.Linear(2, 2), torch.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda forward, **given: compile_(forward, backend=backend, **given))
        patch.setattr("translate.compute.compilation.missing_compiler", lambda device: None)
        Compilation("yes", [network], left=1, group=ProcessGroup(), device=CPU)
        with caplog.at_level(logging.WARNING):
            network(torch.ones(1, 2)).sum().backward()
    assert torch.equal(network.weight.grad, torch.ones(2, 2))
    assert caplog.text.count("Linear cannot be compiled and goes on without") == 1


@pytest.mark.parametrize("wrong", ["compiled code", "the input"])
def test_what_compiled_code_raises(
    wrong: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A network goes on without compiled code that fails; what is wrong with its input is raised as ever."""

    def bad(*_: Any) -> Any:
        raise ValueError("of a hook")

    monkeypatch.setattr(torch, "compile", lambda forward, **given: bad)
    monkeypatch.setattr("translate.compute.compilation.missing_compiler", lambda device: None)
    network = nn.Linear(2, 2)
    Compilation("yes", [network], left=1, group=ProcessGroup(), device=CPU)
    with caplog.at_level(logging.WARNING):
        if wrong == "the input":
            with pytest.raises(RuntimeError, match="shapes"):
                network(torch.ones(1, 3))
            assert not caplog.text
        else:
            assert network(torch.ones(1, 2)).shape == (1, 2)
            assert network(torch.ones(1, 2)).shape == (1, 2)
            assert caplog.text.count("goes on without: of a hook") == 1


def test_moves_from_one_pass_walk_the_graph_of_a_compiled_network_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of ``vaegan`` do; by default compiled code gives the buffers of its first backward pass away."""
    monkeypatch.setattr("translate.compute.compilation.missing_compiler", lambda device: None)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(torch._functorch.config, "donated_buffer", True)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    weights = list(network.parameters())
    expected = [torch.autograd.grad(network(x).pow(power).sum(), weights) for power in (2, 3)]
    Compilation("yes", [network], left=1, group=ProcessGroup(), device=CPU)
    answer = network(x)
    assert cast(Compiled, network.forward)._seen
    for power, wanted in zip((2, 3), expected, strict=True):
        found = torch.autograd.grad(answer.pow(power).sum(), weights, retain_graph=power == 2)
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("trained", [True, False])
def test_a_compiler_sees_a_convolution_by_fewer_products_as_one(trained: bool) -> None:
    """With its windows written out a compiler was not done with nine blocks after twenty minutes."""
    seen: list[str] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph.forward

    network = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(128, 128, 3), nn.ReLU()).requires_grad_(trained)
    convolve_fast(network)
    x = torch.randn(1, 128, 46, 46)
    with torch.set_grad_enabled(trained):
        found = torch.compile(network.forward, backend=backend, fullgraph=True)(x)
        assert torch.equal(found, network(x))
    assert [each for each in seen if "translate" in each] == ["translate.convolve.default"]
    assert not [each for each in seen if "conv2d" in each or "mm" in each]


def compiled(method: Method) -> None:
    networks = [module for player in method.players.values() for module in _networks(player)]
    Compilation("yes", networks, left=1, group=ProcessGroup(), device=CPU)


def _networks(player: nn.Module) -> list[nn.Module]:
    return list(player) if isinstance(player, nn.ModuleList) else [player]


@really
@needs_compiler
def test_compiled_networks_compute_the_same_in_float64() -> None:
    """With a penalty that differentiates twice, which compiled code could not."""
    networks = "generator='unet(width=4, depth=2, norm=none, dropout=0)', discriminator='patch(width=4, receptive_field=16, norm=none)'"
    found = differences(
        f"pix2pix({networks})",
        dtype=torch.float64,
        prepare=compiled,
        adam=partial(Adam, lr=2e-4, betas=(0.5, 0.999), fused=True),
    )
    assert found.pop("the sum of the losses") < 1e-10
    assert max(found.values()) < 1e-8


@really
@needs_compiler
def test_a_compiled_run_resumes_exactly_and_penalises_twice(tmp_path: Path) -> None:
    options: dict[str, Any] = {"generator": "shallow(width=2)", "discriminator": "patch(width=4, receptive_field=16)"}
    options |= {"adversarial": "nonsaturating + r1(weight=1)", "compile": "yes", "steps": 4, "save_every": 2}
    options |= {"size": 16, "load_size": 16, "sample_every": 2, "log_every": 1}
    whole = fit("gan", "demo(size=32)", output=tmp_path / "run", **options)
    assert "discriminator/r1" in whole.metrics[-1]
    wanted = checkpoint.load(whole.checkpoints[-1])[0]
    whole.checkpoints[-1].unlink()
    again = checkpoint.load(resume(Run.open(tmp_path / "run").folder).checkpoints[-1])[0]
    assert all(torch.equal(value, again[name]) for name, value in wanted.items())


@really
@needs_compiler
def test_a_compiled_wide_network_has_the_same_gradients() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(128, 128, 3), nn.ReLU(), nn.Conv2d(128, 130, 3, padding=1, bias=False)).double()
    convolve_fast(network)
    x = torch.randn(2, 128, 12, 7, dtype=torch.float64, requires_grad=True)

    def played() -> list[torch.Tensor]:
        answer = network(x)
        return [answer, *torch.autograd.grad(answer.square().mean(), [x, *network.parameters()])]

    expected = played()
    Compilation("yes", [network], left=1, group=ProcessGroup(), device=CPU)
    for ours, theirs in zip(played(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@really
@needs_compiler
def test_what_wraps_networks_is_compiled_for_each_of_them() -> None:
    """The compiler keeps only so many versions of one code, and a wrapper's would be that of all networks."""
    networks: list[nn.Module] = [nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)), nn.LayerNorm(2)]
    recompute(networks)
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        compiled = [Compiled(network, network.forward) for network in networks]
        for each in compiled:
            assert each(torch.ones(2, 2)).shape == (2, 2)
    assert not any(each._failed for each in compiled)
