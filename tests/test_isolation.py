"""Global state is held around a plugin's code: what it changes is restored and told, and nobody else notices."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from translate.isolation import Held, PluginError, _state, failures_of_a_plugin, shown
from translate.plugins import OURS, discover
from translate.signals import Asked, Ended, caught, ending_cleanly, ending_signals

unix = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="systems without these signals")
HOOK = "from translate import hookimpl\n@hookimpl\n"
NOISY = {
    "torch's default dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "torch's default device": "import torch; torch.set_default_device('meta')",
    "torch's number of threads": "import torch; torch.set_num_threads(torch.get_num_threads() + 1)",
    "torch's grad mode": "import torch; torch.set_grad_enabled(False)",
    "numpy's handling of errors": "import numpy; numpy.seterr(all='raise')",
    "the working directory": "import os; os.chdir('/')",
    "the environment": "import os; os.environ['HOME'] = '/nowhere'; os.environ.pop('PATH')",
    "sys.path": "import sys; sys.path = ['/nowhere']",
    "the filters of warnings": "import warnings; warnings.simplefilter('ignore')",
    "logging": "import logging; logging.disable(logging.CRITICAL); logging.getLogger('translate').handlers.append(5)",
    "the standard streams": "import sys, io; sys.stdout = io.StringIO(); sys.stderr.close()",
    "the signal handlers": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "the recursion limit": "import sys; sys.setrecursionlimit(5000)",
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a plugin ``odd`` with this code into a folder on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(code: str) -> None:
        (tmp_path / "translate_odd.py").write_text(code)
        info = tmp_path / "translate_odd-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: translate-odd\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text("[translate]\nodd = translate_odd\n")
        monkeypatch.delitem(sys.modules, "translate_odd", raising=False)

    return run


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A shell starts what runs in its background with interrupts ignored, which Python then leaves so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _observed() -> object:
    values = {name: value for name, (value, _) in _state().items()}
    return values, list(warnings.filters), sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT)


@pytest.mark.parametrize("place", ["at import", "in an offer", "in an offered module"])
@pytest.mark.parametrize("what", list(NOISY))
def test_what_a_plugin_changes_is_restored_and_told(
    install: Callable[[str], None], caplog: pytest.LogCaptureFixture, what: str, place: str
) -> None:
    inside = NOISY[what]
    install(
        {
            "at import": inside,
            "in an offer": f"{HOOK}def losses():\n    {inside}\n    return {{}}",
            "in an offered module": f"{HOOK}def losses(): return {{'odd': 'translate_odd_loss:Loss'}}",
        }[place]
    )
    (Path(sys.path[0]) / "translate_odd_loss.py").write_text(f"{inside}\nclass Loss: pass")
    sys.modules.pop("translate_odd_loss", None)
    before = _observed()
    catalog = discover()
    assert "l1" in catalog.offers("losses")
    if place == "in an offered module":
        catalog.offer("losses", "odd").load()
    assert _observed() == before
    (record,) = caplog.records
    assert f"the plugin odd (translate-odd 1.2) changes {what} when it" in record.getMessage()
    assert torch.ones(1).dtype == torch.float32


def test_our_own_plugins_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """In a process of its own, in which nothing is imported before."""
    code = (
        "import logging, sys; logging.basicConfig(format='%(message)s')\n"
        "from translate.plugins import KINDS, OURS, discover\n"
        "catalog = discover()\n"
        "assert all(each.seconds > 0 for each in catalog.plugins if each.distribution == OURS)\n"
        "[offer.load() for kind in KINDS for offer in catalog.offers(kind).values() if offer.plugin.distribution == OURS]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_torch_is_held_if_the_plugin_itself_imports_it(tmp_path: Path) -> None:
    """Nobody knows torch's number of threads before it is imported."""
    (tmp_path / "odd.py").write_text("import torch; torch.set_num_threads(7); torch.set_default_dtype(torch.float64)")
    code = (
        "import logging, sys; logging.basicConfig(format='%(message)s')\n"
        "from translate.plugins import discover\n"
        "assert 'torch' not in sys.modules\n"
        f"discover(extra=[{str(tmp_path / 'odd.py')!r}])\n"
        "import torch; print(torch.get_num_threads() != 7, torch.ones(1).dtype, len(sys.meta_path))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["True", "torch.float32"]
    assert "changes torch's default dtype and torch's number of threads when it is imported" in done.stderr


@pytest.mark.parametrize("raised", ["GeneratorExit", "KeyboardInterrupt", "SystemExit(3)", "BaseException('own')"])
def test_whatever_an_import_raises_costs_one_line(
    install: Callable[[str], None], caplog: pytest.LogCaptureFixture, raised: str
) -> None:
    install(f"raise {raised}")
    assert {each.name for each in discover().plugins} >= {"pix2pix", "losses"}
    (record,) = caplog.records
    assert f"is broken and left out: {raised.split('(')[0]}" in record.getMessage()
    assert "(translate_odd.py, line 1)" in record.getMessage()


def test_a_users_interrupt_is_no_failure_of_the_plugin(install: Callable[[str], None]) -> None:
    install("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(1)")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        discover()
    assert signal.getsignal(signal.SIGINT) is before


SWALLOWED = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.{name})
    time.sleep(1)
except BaseException:
    pass
{then}
"""


@unix
@pytest.mark.parametrize("then", ["", "raise ImportError('no colours')"], ids=["goes on", "fails"])
@pytest.mark.parametrize(("name", "raised"), [("SIGINT", KeyboardInterrupt), ("SIGTERM", Ended)])
def test_a_signal_that_a_plugin_swallows_still_ends_the_command(
    install: Callable[[str], None], caplog: pytest.LogCaptureFixture, name: str, raised: type, then: str
) -> None:
    """Imports of what is optional are often followed by an ``except`` for everything."""
    install(SWALLOWED.format(name=name, then=then))
    before = [signal.getsignal(each) for each in ending_signals()]
    with pytest.raises(KeyboardInterrupt) as found, ending_cleanly():
        discover()
    assert type(found.value) is raised
    assert [signal.getsignal(each) for each in ending_signals()] == before
    assert caplog.records == []


@unix
def test_what_a_signals_handler_puts_back_is_not_the_plugins_doing(
    install: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """While a training runs, the first Ctrl-C is noted, and a second one must stop it at once."""
    install("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(0.01)")
    before = signal.getsignal(signal.SIGINT)
    with caught() as found:
        discover()
        assert found.take() is Asked.END
        assert signal.getsignal(signal.SIGINT) is before
    assert caplog.records == []


@unix
def test_signals_outside_the_main_thread_are_left_alone() -> None:
    with ThreadPoolExecutor(1) as pool, ending_cleanly():
        before = [signal.getsignal(each) for each in ending_signals()]

        def hold() -> list[str]:
            with Held() as held:
                assert [signal.getsignal(each) for each in ending_signals()] == before
            return held.changed

        assert pool.submit(hold).result() == []


def test_prints_cost_one_line_and_reach_no_output(
    install: Callable[[str], None], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    install("import sys\nfor number in range(10_000): print('hello\x1b[31m', number)\nprint('bye', file=sys.stderr)")
    discover()
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith(
        r"warning: the plugin odd (translate-odd 1.2) prints when it is imported: hello\x1b[31m 0 hello"
    )
    assert len(text) < 400
    assert capsys.readouterr() == ("", "")


def test_a_kept_stream_still_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Held() as held:
        kept = sys.stdout
        sys.stdout.write("inside\n")
    kept.write("outside\n")
    assert capsys.readouterr().out == "outside\n"
    assert held.printed == "inside\n"
    assert held.changed == []


def test_a_closed_descriptor_is_opened_again() -> None:
    code = (
        "import os, sys; from translate.isolation import Held\n"
        "with Held() as held:\n    os.close(1); sys.__stderr__.close()\n"
        "print(held.changed); print('told', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("['the standard streams']\n", "told\n")


def test_harmless_filters_of_libraries_are_left_alone() -> None:
    with warnings.catch_warnings():
        with Held() as held:
            warnings.filterwarnings("ignore", message="one of a library's own")
        assert held.changed == []
        assert any(each[1] is not None and "library" in each[1].pattern for each in warnings.filters)
        with Held() as held:
            warnings.resetwarnings()
        assert held.changed == ["the filters of warnings"]
        assert any(each[1] is not None and "library" in each[1].pattern for each in warnings.filters)


def test_observers_are_kept_apart_too() -> None:
    with pytest.raises(PluginError), failures_of_a_plugin():
        raise GeneratorExit
    with pytest.raises(KeyboardInterrupt), failures_of_a_plugin():
        raise KeyboardInterrupt

    def beside() -> None:
        with failures_of_a_plugin():
            raise KeyboardInterrupt

    # Signals reach the main thread alone, so here it is the plugin's own.
    with ThreadPoolExecutor(1) as pool, pytest.raises(PluginError):
        pool.submit(beside).result()
    assert "x ... (600 characters left out) ... x" in shown("x" * 1000)
    assert len(shown("x" * 1000)) < 450


def test_the_state_knows_what_it_holds() -> None:
    os.environ.get("PATH")
    np.geterr()
    assert {*NOISY} - {*_state()} == {"the filters of warnings", "the standard streams", "the signal handlers"}
    assert logging.getLogger("translate").disabled is False
    assert OURS == "image-translate"
