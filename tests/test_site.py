"""The site of the documents, built once as ``make site`` builds it, and read as a browser reads it."""

from __future__ import annotations

import html
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import click
import pytest
from browser import CHROMIUM, browser

from translate.cli.training import MethodCommand
from translate.public import PUBLIC

pytest.importorskip("sphinx", reason="the extra docs is not installed")

ROOT = Path(__file__).parents[1]
WEBSITE = ROOT / "docs" / "website"
START = "docs/README.html"
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
LOADING |= {"embed": "src", "object": "data", "input": "src", "track": "src"}
SHEETS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest", "modulepreload"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-d", folder / "read", "-c", WEBSITE, ROOT]
    # The checkout's modules come first, whatever is installed.
    paths = [ROOT, ROOT / "plugins", ROOT / "datasets", *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    built = subprocess.run(
        [sys.executable, *command, folder / "html"], env=environment, capture_output=True, text=True, check=False
    )
    assert (built.returncode, built.stderr, built.stdout) == (0, "", ""), built.stderr[:5000] + built.stdout[:2000]
    return folder / "html"


class Page(HTMLParser):
    """What a page links, what it loads, and where one can be led on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.styles = ""
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element names."""
        values = {name: value or "" for name, value in attrs}
        self.places |= {values[name] for name in ("id", "name") if name in values}
        self.styles += values.get("style", "")
        self._in_style = tag == "style"
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and SHEETS & set(values.get("rel", "").split()):
            self.loads.append(values["href"])
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.links.append(values["content"].partition("url=")[2])
        if tag in LOADING and LOADING[tag] in values:
            self.loads.append(values[LOADING[tag]])
        self.loads += [each.split()[0] for each in values.get("srcset", "").split(",") if each.strip()]

    def handle_data(self, data: str) -> None:
        """Note what a style says."""
        self.styles += data if self._in_style else ""


@cache
def page_at(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def pages(site: Path) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): page_at(path) for path in sorted(site.rglob("*.html"))}


def extension(name: str) -> ModuleType:
    """A module that the site is built with."""
    spec = importlib.util.spec_from_file_location(name, WEBSITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands() -> Iterator[tuple[click.Command, click.Context]]:
    yield from extension("command_reference").every_command()


def documents() -> set[str]:
    found = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    return found | {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.rst")}


def reached(site: Path, first: str = "index.html") -> set[str]:
    """The pages to which links lead from a first one."""
    all_pages = pages(site)
    waiting, seen = [first], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in all_pages:
            continue
        seen.add(name)
        for link in all_pages[name].links:
            if not urlsplit(link).scheme:
                target = (site / name).parent / unquote(urlsplit(link).path)
                waiting.append(os.path.relpath(target, site))
    return seen


def broken(site: Path) -> tuple[int, list[str]]:
    """The number of links within the site, and those that lead nowhere."""
    count, found = 0, []
    for name, page in pages(site).items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = ((site / name).parent / unquote(parts.path) if parts.path else site / name).resolve()
            count += 1
            if not target.is_file():
                found.append(f"{name}: {link}")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in page_at(target).places:
                found.append(f"{name}: {link}, of which the page has no such place")
    return count, found


def foreign_in_page(page: Page) -> list[str]:
    """What a page loads from elsewhere."""
    loads = [each for each in page.loads if urlsplit(each).netloc or urlsplit(each).scheme not in ("", "data")]
    return loads + foreign_in_sheet(page.styles)


def foreign_in_sheet(text: str) -> list[str]:
    """What a style sheet loads from elsewhere."""
    bare = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.findall(r"(?:url\(|@import)\s*(?:url\()?\s*['\"]?\s*(?:https?:)?//[^'\")\s]*", bare)


def foreign_in_script(text: str) -> list[str]:
    """Addresses to which a script connects, as far as they are written where it does so."""
    return re.findall(r"(?:fetch|import|open|src\s*=|href\s*=)\s*\(?\s*[`'\"](?:https?:)?//[^`'\"]*", text)


def test_every_document_is_reached_from_the_start(site: Path) -> None:
    assert documents() | {START, "CHANGELOG.html", "CONTRIBUTING.html", "SECURITY.html"} <= reached(site)


def test_links_within_the_site_resolve(site: Path) -> None:
    count, found = broken(site)
    assert not found
    assert count > 1000


def test_nothing_is_loaded_from_a_network(site: Path) -> None:
    for name, page in pages(site).items():
        assert not foreign_in_page(page), name
    for sheet in site.rglob("*.css"):
        assert not foreign_in_sheet(sheet.read_text(encoding="utf-8")), sheet.name
    for script in site.rglob("*.js"):
        assert not foreign_in_script(script.read_text(encoding="utf-8", errors="replace")), script.name


def test_every_public_name_has_an_entry(site: Path) -> None:
    places = set().union(*(page_at(path).places for path in (site / "docs" / "api").glob("*.html")))
    hooks = extension("python_reference").hooks
    names = [f"{module}.{name}" for module, listed in PUBLIC.items() for name in listed]
    names += [f"translate.hookspecs.{name}" for name in hooks(importlib.import_module("translate.hookspecs"))]
    assert len(names) > 200
    missing = set(names) - places
    assert not missing
    assert {"module-" + module for module in PUBLIC} <= places


def test_methods_and_properties_have_entries(site: Path) -> None:
    places = page_at(site / "docs" / "api" / "methods.html").places
    for name in ("method.Method.updates", "method.Update.label", "traits.Traits.size_multiple"):
        assert f"translate.{name}" in places


def test_declared_options_are_arguments(site: Path) -> None:
    text = (site / "docs" / "api" / "verbs.html").read_text(encoding="utf-8")
    assert "Annotated" not in text
    assert "resize images so that the longer side has this many pixels" in text
    signature = re.sub(r"<[^>]+>", "", text.partition('id="translate.convert"')[2][:9000])
    assert re.search(r"long_side:\s+int\s+\|\s+None\s+=\s+None", html.unescape(signature))


def test_every_command_has_its_section_and_options(site: Path) -> None:
    page = page_at(site / "docs" / "commands.html")
    found = list(commands())
    assert len(found) > 30
    for command, context in found:
        path = context.command_path
        place = path.replace(" ", "-")
        assert f"command-{place}" in page.places, f"there is no section of {path}"
        own = getattr(command, "own", None)
        for parameter in command.get_params(context):
            if not isinstance(parameter, click.Option) or parameter.name == "help":
                continue
            if isinstance(command, MethodCommand) and parameter.name not in (own or ()):
                continue
            for flag in parameter.opts:
                name = flag.lstrip("-")
                assert f"cmdoption-{place}-{name}" in page.places, f"{path} does not tell of {flag}"


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """The address of the site on this machine; a browser fetches nothing for a page that it opens from the disk."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_search_works_and_no_request_leaves(served: str) -> None:
    with browser() as tab:
        tab.open(f"{served}/search.html?q=guard")
        tab.until("document.querySelectorAll('#search-results li p').length > 3")
        found = tab.ask("[...document.querySelectorAll('#search-results li a')].map(each => each.href)")
        assert any(each.startswith(f"{served}/docs/guard.html") for each in found)
        events = list(tab.events)
        tab.open(f"{served}/docs/methods/pix2pix.html")
        events += tab.events
    sent = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    assert len(sent) > 10
    assert all(url.startswith((served, "data:")) for url in sent), sent
    troubles = [each["params"] for each in events if each["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    # A browser asks each server for an icon by itself.
    assert not [each for each in troubles if not each.get("entry", {}).get("url", "").endswith("/favicon.ico")]


# --- the checks themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://a.example/b.js"></script>',
        '<img src="//a.example/b.png">',
        '<img src="b.png" srcset="b.png 1x, http://a.example/c.png 2x">',
        '<link rel="stylesheet" href="https://a.example/b.css">',
        '<link rel="preconnect" href="https://a.example">',
        "<style>@import 'https://a.example/b.css';</style>",
        '<p style="background: url(//a.example/b.png)">',
        '<iframe src="https://a.example"></iframe>',
    ],
)
def test_a_page_that_loads_something_would_be_seen(text: str) -> None:
    assert foreign_in_page(Page(text))


def test_a_sheet_and_a_script_that_load_something_would_be_seen() -> None:
    assert foreign_in_sheet("@font-face { src: url('https://a.example/b.woff2') }")
    assert foreign_in_script("const a = await fetch('https://a.example/b.json')")
    own = '<a href="https://a.example">x</a><script src="b.js"></script><img src="data:image/png;base64,AA"><p style="color: red">'
    assert not foreign_in_page(Page(own))
    assert not foreign_in_sheet("/* https://a.example */ a { background: url(b.png) }")


def test_links_that_lead_nowhere_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text('<a href="sub/a.html#here">a</a> <a href="sub/a.html#there">a</a>')
    (tmp_path / "sub" / "a.html").write_text(
        '<p id="here"><a href="../none.html">b</a> <a href="https://a.example">c</a>'
    )
    (tmp_path / "alone.html").write_text("")
    count, found = broken(tmp_path)
    assert count == 3
    assert [each.partition(",")[0] for each in found] == ["index.html: sub/a.html#there", "sub/a.html: ../none.html"]
    assert reached(tmp_path) == {"index.html", "sub/a.html"}


# --- how it is made ---------------------------------------------------------------------------------------------------


def test_a_readme_s_links_are_its_table_of_contents() -> None:
    contents = extension("contents")
    known = {"docs/README", "docs/a", "docs/sub/README", "docs/sub/a", "docs/sub/b", "C"}
    start = "# T\n\n## One\n\n[a](a.md) [again](a.md)\n\n## Two\n\n[c](../C.md), [sub](sub/README.md#x), [s](sub/README.md)\n"
    found = contents.with_contents("docs/README", start, known, "docs/README")
    assert found.startswith(start)
    assert re.findall(r":caption: (\w+)\n\n((?:[\w./]+\n)+)", found) == [("One", "a\n"), ("Two", "../C\nsub/README\n")]
    below = contents.with_contents("docs/sub/README", "[b](b.md) [up](../a.md) [no](none.md)", known, "docs/README")
    assert below.endswith("\n```{toctree}\n:hidden:\n\nb\na\n```\n")
    assert contents.with_contents("docs/a", "[b](b.md)", known, "docs/README") == "[b](b.md)"
    with pytest.raises(ValueError, match="links pages that are not there: missing"):
        contents.with_contents("docs/README", "## One\n[x](missing.md)\n", known, "docs/README")


def test_help_texts_become_plain_text_and_code() -> None:
    reference = extension("command_reference")
    assert reference.inline("a * b, `translate data A|B` and c_ |d|") == r"a \* b, ``translate data A|B`` and c\_ \|d\|"
    told = list(reference.described("One\ntwo.\n\n\b\n  translate a\n  translate b\n\nThree."))
    block = [".. code-block:: console", "", "   translate a\n   translate b", ""]
    assert told == ["One two.", "", *block, "Three.", ""]
