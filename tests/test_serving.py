"""The server: what it answers, whom it refuses, and how it ends; by real requests to real processes."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import taking
from forking import ran
from numpy.typing import NDArray
from served import Served, form, serving

from translate import images
from translate.conversion import convert
from translate.data import Domain
from translate.errors import TranslateError
from translate.serving import serve
from translate.serving.fields import asked_of_form
from translate.serving.multipart import Form
from translate.serving.refusing import RefusedError
from translate.taken import Taken, Wanted
from translate.translator import load


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


def png(height: int, width: int, seed: int = 0) -> bytes:
    """A picture of noise."""
    made = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(made, "png")
    return made.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def file(place: Path) -> Path:
    return taking.saved(place / "taking.safetensors")


@pytest.fixture(scope="module")
def slow(place: Path) -> Path:
    return taking.saved(place / "slow.safetensors", "slow")


@pytest.fixture(scope="module")
def server(file: Path) -> Iterator[Served]:
    limits = ["--max-bytes", "200000", "--max-pixels", "40000", "--queue", "16"]
    with serving(file, *limits, "--allow-origin", "https://friend.example", "--allow-host", "gpu.example") as served:
        yield served


@pytest.fixture(scope="module")
def noted(place: Path) -> Path:
    """A photograph with an orientation, a profile and a description."""
    path = place / "noted.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a tower"
    gray = np.linspace(0, 255, 40 * 30 * 3).reshape(30, 40, 3).astype(np.uint8)
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.fromarray(gray).save(path, exif=exif, icc_profile=profile, quality=95)
    return path


# --- what it answers --------------------------------------------------------------------------------------------------


def kinds(place: Path, noted: Path) -> dict[str, Path]:
    generator = np.random.default_rng(1)
    deep = place / "deep.tiff"
    images.write(deep, images.Image(generator.integers(0, 65536, (17, 22, 3), np.uint16)))
    clear = place / "clear.png"
    PIL.Image.fromarray(generator.integers(0, 256, (13, 18, 4), np.uint8)).save(clear)
    gray = place / "gray.png"
    PIL.Image.fromarray(generator.integers(0, 256, (9, 31), np.uint8)).save(gray)
    moving = place / "moving.png"
    first, *others = [PIL.Image.fromarray(generator.integers(0, 256, (8, 12, 3), np.uint8)) for _ in range(3)]
    first.save(moving, save_all=True, append_images=others, duration=80)
    return {"noted": noted, "deep": deep, "clear": clear, "gray": gray, "moving": moving}


def test_an_answer_is_the_file_that_convert_writes(server: Served, file: Path, place: Path, noted: Path) -> None:
    """Bytes, so depth, alpha, orientation, profile, metadata and frames as well."""
    for name, path in kinds(place, noted).items():
        wanted = place / f"{name}-converted{path.suffix}"
        convert(load(file, plugins=[taking.PLUGIN], device="cpu"), path, wanted)
        form_answer, body_answer = server.send(path), server.ask(body=path.read_bytes())
        assert form_answer.status == body_answer.status == 200, (name, form_answer.body)
        assert form_answer.body == body_answer.body == wanted.read_bytes(), name
        assert form_answer.headers["x-translate-suffix"] == path.suffix
        assert json.loads(form_answer.headers["x-translate-notices"]) == []
    assert form_answer.headers["content-type"] == "image/png"


def test_fields_are_options_of_convert(server: Served, file: Path, place: Path, noted: Path) -> None:
    wanted = place / "as-asked.png"
    asked: dict[str, Any] = {"long_side": 20, "metadata": "drop", "format": "png"}
    convert(load(file, plugins=[taking.PLUGIN], device="cpu"), noted, wanted, **asked)
    assert server.send(noted, long_side="20", metadata="drop", format="png").body == wanted.read_bytes()
    # In the address as well, with the image as the body.
    answer = server.ask(path="/api/translate?long_side=20&metadata=drop&format=png", body=noted.read_bytes())
    assert answer.body == wanted.read_bytes()
    notices = json.loads(server.send(noted, format="webp", at="8x8").headers["x-translate-notices"])
    assert any("resolution" in each for each in notices) or notices == []


def test_what_the_network_takes_comes_as_fields(server: Served, file: Path, place: Path) -> None:
    source, mask, reference = place / "x.png", place / "mask.png", place / "moon.png"
    source.write_bytes(png(12, 16))
    PIL.Image.fromarray(np.full((12, 16), 255, np.uint8)).save(mask)
    PIL.Image.fromarray(np.full((5, 9, 3), 200, np.uint8)).save(reference)
    given = {"passes": "2", "kind": "invert", "shift": "0.25", "label": "dusk", "text": "1,3"}
    wanted = place / "x-given.png"
    files = {"mask": mask, "reference": reference}
    convert(load(file, plugins=[taking.PLUGIN], device="cpu"), source, wanted, given={**given, **files})
    assert server.send(source, **given, **files).body == wanted.read_bytes()
    named = {f"given.{name}": value for name, value in {**given, **files}.items()}
    assert server.send(source, **named).body == wanted.read_bytes()
    assert server.send(source).body != wanted.read_bytes()


def test_noise_is_that_of_the_name_and_the_seed(place: Path) -> None:
    noisy = taking.saved(place / "noisy.safetensors", "noisy")
    source = place / "n.png"
    source.write_bytes(png(8, 8))
    translator = load(noisy, plugins=[taking.PLUGIN], device="cpu")
    convert(translator, source, place / "n-one.png", seed=3)
    convert(translator, source, place / "n-many.png", seed=3, samples=2)
    with serving(noisy) as served:
        assert served.get("/api/translator").json["draws_noise"]
        assert served.send(source, seed="3").body == (place / "n-one.png").read_bytes()
        assert served.send(source, "../else/n.png", seed="3").body == (place / "n-one.png").read_bytes()
        assert served.send(source, "o.png", seed="3").body != (place / "n-one.png").read_bytes()
        raw = served.ask(path="/api/translate?seed=3&name=n.png", body=source.read_bytes())
        assert raw.body == (place / "n-one.png").read_bytes()
        many = served.send(source, seed="3", samples="2").json
    assert many["type"] == "image/png"
    for number, text in enumerate(many["images"], 1):
        assert base64.b64decode(text) == (place / f"n-many-{number}.png").read_bytes()


def test_maps_of_classes(place: Path) -> None:
    domain = Domain(3, classes=3, palette=((0, 0, 0), (255, 0, 0), (0, 0, 255)))
    mapped = taking.saved(place / "maps.safetensors", source=domain)
    source = place / "map.png"
    PIL.Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) % 3).save(source)
    convert(load(mapped, plugins=[taking.PLUGIN], device="cpu"), source, place / "map-out.png")
    with serving(mapped) as served:
        assert served.get("/api/translator").json["source"]["palette"] == [[0, 0, 0], [255, 0, 0], [0, 0, 255]]
        assert served.send(source).body == (place / "map-out.png").read_bytes()
        answer = served.send(png(6, 8))
        assert answer.status == 422
        assert "class" in answer.error


def test_images_together_are_what_they_are_alone(slow: Path) -> None:
    """Those of one size and one option go through the network together."""
    many = [png(12, 16, seed) for seed in range(8)]
    others = [png(20, 8, seed) for seed in range(2)]
    with serving(slow, "--batch", "4") as served:
        alone = [pixels_of(served.send(each).body).astype(int) for each in many]
        before = served.metric("translate_pass_seconds_count"), served.metric("translate_images_total")
        assert before == (8, 8)
        with ThreadPoolExecutor(11) as pool:
            first = pool.submit(served.send, png(4, 4), seconds="0.5")
            time.sleep(0.2)
            found = list(pool.map(served.send, many + others))
            assert first.result().status == 200
        for one, answer in zip(alone, found, strict=False):
            assert np.abs(pixels_of(answer.body).astype(int) - one).max() <= 1
        for one, answer in zip(others, found[8:], strict=True):
            assert np.array_equal(pixels_of(answer.body), pixels_of(one))
        assert served.metric("translate_images_total") == 19
        assert served.metric("translate_pass_seconds_count") <= 8 + 1 + 3 + 2


def test_description_health_and_metrics(server: Served) -> None:
    told = server.get("/api/translator")
    assert told.headers["content-type"] == "application/json"
    assert told.json["name"] == "taking.safetensors"
    assert told.json["takes"]["options"]["kind"]["choices"] == ["keep", "invert"]
    assert told.json["takes"]["inputs"]["label"]["domain"]["labels"] == list(taking.LABELS)
    assert told.json["limits"] == {"max_bytes": 200000, "max_pixels": 40000, "queue": 16, "timeout": 60.0}
    assert set(told.json["fields"]) >= {"format", "seed", "samples", "long_side"}
    assert str(Path(taking.PLUGIN).parent) not in told.body.decode()
    health = server.get("/health")
    assert (health.status, health.json["status"]) == (200, "ok")
    before = server.metric('translate_requests_total{route="/api/translate",method="POST",status="200"}')
    assert server.send(png(4, 4)).status == 200
    text = server.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert server.metric('translate_requests_total{route="/api/translate",method="POST",status="200"}') == before + 1
    assert server.metric("translate_requests_active") == 0
    assert server.metric('translate_request_seconds_bucket{le="+Inf"}') == server.metric(
        "translate_request_seconds_count"
    )
    assert server.ask("HEAD", "/health").body == b""


def test_every_answer_forbids_what_it_does_not_need(server: Served) -> None:
    for answer in (server.get("/"), server.get("/health"), server.get("/nowhere"), server.send(png(4, 4))):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    page = server.get("/")
    assert "unsafe" not in page.headers["content-security-policy"]


def test_the_examples_of_the_page_do_what_they_say(server: Served, tmp_path: Path) -> None:
    """Each curl command and the Python program of docs/serving.md, at this server's port."""
    text = (Path(__file__).parents[1] / "docs" / "serving.md").read_text("utf-8").replace(":8000/", f":{server.port}/")
    (tmp_path / "photo.png").write_bytes(png(40, 60))
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    commands = [line for line in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0].splitlines() if line]
    assert len(programs) == 1
    assert len(commands) == 3
    for program in programs:
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "image/png []\n"
    with PIL.Image.open(tmp_path / "translated.png") as made:
        assert made.size == (60, 40)
    if shutil.which("curl") is None:
        return
    for command in commands:
        done = subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["direction"] == "forward"
    with PIL.Image.open(tmp_path / "translated.jpg") as made:
        assert (made.size, made.format) == ((60, 40), "JPEG")
    with PIL.Image.open(tmp_path / "small.png") as made:
        assert max(made.size) == 32


# --- whom it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "evil.example:8000"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "a b"}, 421),
        ({"Host": "169.254.169.254"}, 421),
        ({"Host": "localhost@evil.example"}, 421),
        ({"Host": "LOCALHOST:1"}, 200),
        ({"Host": "gpu.example"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://friend.example"}, 403),
        ({"Origin": "https://friend.example.evil.example"}, 403),
        ({"Origin": "https://friend.example"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_hosts_and_origins(server: Served, headers: dict[str, str], status: int) -> None:
    answer = server.ask(body=png(4, 4), headers=headers)
    assert answer.status == status, answer.body
    if status != 200:
        assert answer.error


def test_its_own_page_and_allowed_sites_may_ask(server: Served) -> None:
    own = f"127.0.0.1:{server.port}"
    assert server.ask(body=png(4, 4), headers={"Host": own, "Origin": f"http://{own}"}).status == 200
    friend = server.ask(body=png(4, 4), headers={"Origin": "https://friend.example"})
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    assert friend.headers["vary"] == "Origin"
    asked = {"Origin": "https://friend.example", "Access-Control-Request-Method": "POST"}
    assert "POST" in server.ask("OPTIONS", headers=asked).headers["access-control-allow-methods"]
    assert server.ask("OPTIONS", headers={**asked, "Origin": "https://other.example"}).status == 403
    assert server.ask("OPTIONS").status == 405


def bomb(width: int, height: int) -> bytes:
    """A PNG file of a few bytes, by whose header it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    rows = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animation(frames: int) -> bytes:
    made = io.BytesIO()
    first, *others = [PIL.Image.fromarray(np.full((20, 20, 3), each % 256, np.uint8)) for each in range(frames)]
    first.save(made, "png", save_all=True, append_images=others)
    return made.getvalue()


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        pytest.param(b"", 400, "no body", id="nothing"),
        pytest.param(b"hello, I am text", 415, "no PNG", id="text"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "no PNG", id="SVG"),
        pytest.param(b"PK\x03\x04" + bytes(100), 415, "no PNG", id="zip"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "no PNG", id="EPS"),
        pytest.param(b"%PDF-1.7\n", 415, "no PNG", id="PDF"),
        pytest.param(b"\x93NUMPY\x01\x00\x76\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 415, "", id="pickle"),
        pytest.param(bomb(60000, 60000), 413, "pixels", id="bomb"),
        pytest.param(bomb(2**31 - 1, 2**31 - 1), 413, "", id="largest"),
        pytest.param(png(30, 30)[:-200], 422, "the image", id="cut off"),
        pytest.param(animation(120), 413, "frames", id="frames"),
        pytest.param(bytes(200001), 413, "smaller", id="too many bytes"),
        pytest.param(bytes(390000), 413, "smaller", id="many more bytes"),
    ],
)  # fmt: skip
def test_bodies_that_are_no_image(server: Served, body: bytes, status: int, word: str) -> None:
    answer = server.ask(body=body)
    assert answer.status == status, answer.body
    assert word in answer.error
    assert "translate-serve" not in answer.error
    assert "/tmp" not in answer.error


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"colour": "red"}, 400, "unknown"),
        ({"format": "exe"}, 400, "format"),
        ({"seed": "x"}, 400, "seed"),
        ({"samples": "0"}, 400, "samples"),
        ({"samples": "100000"}, 413, "100000"),
        ({"scale": "16"}, 413, "pixels"),
        ({"at": "9999999x9999999"}, 400, "65536"),
        ({"at": "60000x60000"}, 413, "pixels"),
        ({"at": "8", "scale": "2"}, 422, "one of"),
        ({"long_side": "8", "quality": "101"}, 400, "quality"),
        ({"passes": "0"}, 422, "passes"),
        ({"passes": "many"}, 422, "passes"),
        ({"given.passes": "2", "passes": "2"}, 400, "twice"),
        ({"label": "noon"}, 400, "noon"),
        ({"label": "/etc/passwd.csv"}, 400, "class"),
        ({"label": "9"}, 422, "9"),
        ({"text": "/etc/passwd"}, 400, "numbers"),
        ({"text": "table.npy"}, 400, "numbers"),
        ({"text": "1,2,3"}, 422, "3 numbers"),
        ({"text": "nan,1"}, 422, "finite"),
        ({"mask": "/etc/passwd"}, 400, "file"),
        ({"reference": "../../../etc/passwd"}, 400, "file"),
        ({"device": "cuda"}, 400, "unknown"),
        ({"plugins": "evil.py"}, 400, "unknown"),
        ({"report": "/tmp/x"}, 400, "unknown"),
        ({"overwrite": "yes"}, 400, "unknown"),
    ],
)
def test_fields_that_do_not_fit(server: Served, fields: dict[str, str], status: int, word: str) -> None:
    answer = server.send(png(20, 20), **fields)
    assert answer.status == status, answer.body
    assert word in answer.error


def test_files_that_do_not_fit(server: Served, place: Path) -> None:
    wrong, text = place / "wrong.png", place / "text.txt"
    PIL.Image.fromarray(np.zeros((5, 5), np.uint8)).save(wrong)
    text.write_text("1,2")
    for fields, word in (({"mask": wrong}, "5 x 5"), ({"mask": text}, "mask"), ({"reference": text}, "reference"),
                         ({"label": text}, "text"), ({"passes": text}, "file"), ({"seed": text}, "text")):  # fmt: skip
        answer = server.send(png(8, 8), **fields)
        assert answer.status in (400, 422), fields
        assert word in answer.error
        assert "/tmp" not in answer.error


def broken_forms() -> dict[str, tuple[bytes, str]]:
    image = png(8, 8)
    whole, kind = form([("image", "a.png", image), ("passes", None, b"2")])
    twice, kind_twice = form([("image", "a.png", image), ("image", "b.png", image)])
    no_text, kind_no_text = form([("image", "a.png", image), ("kind", None, b"\xff\xfe")])
    many, kind_many = form([("image", "a.png", image), *((f"x{number}", None, b"1") for number in range(200))])
    long, kind_long = form([("image", "a.png", image), ("kind", None, b"k" * 70000)])
    no_image, kind_no_image = form([("passes", None, b"2")])
    return {
        "cut off": (whole[:-20], kind),
        "cut off in the image": (whole[:120], kind),
        "no boundary": (whole, "multipart/form-data"),
        "another boundary": (whole, "multipart/form-data; boundary=other"),
        "a long boundary": (whole, f"multipart/form-data; boundary={'x' * 1000}"),
        "no name": (whole.replace(b'name="passes"', b"nothing"), kind),
        "a header without end": (whole.replace(b'name="passes"\r\n\r\n', b'name="passes' + b"x" * 9000), kind),
        "twice": (twice, kind_twice),
        "no UTF-8": (no_text, kind_no_text),
        "many parts": (many, kind_many),
        "a long field": (long, kind_long),
        "no image": (no_image, kind_no_image),
        "nothing": (b"", kind),
    }


@pytest.mark.parametrize("name", broken_forms())
def test_broken_forms(server: Served, name: str) -> None:
    body, kind = broken_forms()[name]
    answer = server.ask(body=body, headers={"content-type": kind})
    assert answer.status in (400, 413), answer.body
    assert answer.error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/translate", 405),
        ("PUT", "/api/translate", 405),
        ("DELETE", "/", 405),
        ("POST", "/", 405),
        ("TRACE", "/health", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/..%2f..%2fetc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "//etc/passwd", 404),
        ("GET", "/static/page.js", 404),
        ("GET", "/api/translate/", 404),
        ("GET", "http://evil.example/", 421),
        ("GET", "/?" + "x" * 9000, 414),
        ("POST", "/api/translate?seed=1&seed=2", 400),
        ("POST", "/api/translate?name=%ff", 400),
        ("POST", "/api/translate?nothing=1", 400),
        ("GET", "/%ff", 404),
    ],
)
def test_methods_and_addresses(server: Served, method: str, path: str, status: int) -> None:
    answer = server.ask(method, path, png(4, 4) if method == "POST" else None)
    assert answer.status == status, answer.body
    assert answer.error


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"HELLO\r\n\r\n", b"400", id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50) + b"\r\n\r\n", b"400", id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"400", id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", b"400", id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"Connection: close\r\n" + b"X: y\r\n" * 9000 + b"\r\n", b"431", id="many headers"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 99999, b"400", id="a long header"),
        pytest.param(b"GET /" + b"a" * 99999 + b" HTTP/1.1\r\n\r\n", b"400", id="a long address"),
        pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400", id="bytes in the address"),
        pytest.param(
            b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b"400", id="a negative length"
        ),
        pytest.param(
            b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n", b"413", id="a huge length"
        ),
        pytest.param(
            b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400", id="no chunk"
        ),
        pytest.param(
            b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n"
            b"Connection: close\r\n\r\n123456789", b"415", id="packed"
        ),
    ],
)  # fmt: skip
def test_what_is_hardly_http(server: Served, data: bytes, status: bytes) -> None:
    found = server.raw(data)
    assert found.split(b" ")[1] == status, found
    assert b'{"error":' in found
    assert server.get("/health").status == 200


def test_a_body_in_chunks_is_limited_as_well(server: Served) -> None:
    head = b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = server.raw(head + (b"ffff\r\n" + bytes(65535) + b"\r\n") * 4 + b"0\r\n\r\n")
    assert found.split(b" ")[1] == b"413"
    image = png(6, 6)
    data = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + f"{len(image):x}\r\n".encode()
    assert server.raw(data + image + b"\r\n0\r\n\r\n").split(b" ")[1] == b"200"


def test_a_client_that_goes_leaves_nothing(server: Served) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n" + bytes(99)
            )
    end = time.monotonic() + 10
    while server.metric("translate_requests_active"):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert server.send(png(4, 4)).status == 200


def test_slow_clients_are_cut_off(file: Path) -> None:
    """Heads that come drop by drop, answers that nobody takes, and more connections than are let in."""
    impatient = str(Path(taking.PLUGIN).with_name("impatient.py"))
    with serving(file, "--queue", "6", before=["-p", impatient]) as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as drip:
            begun = time.monotonic()
            with contextlib.suppress(OSError):
                for letter in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200:
                    drip.send(bytes([letter]))
                    time.sleep(0.05)
            assert time.monotonic() - begun < 5
            assert b" 408 " in drip.recv(1 << 16)
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as silent:
            assert silent.recv(1) == b""
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as drip:
            drip.sendall(b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n")
            begun = time.monotonic()
            with contextlib.suppress(OSError):
                for _ in range(100):
                    drip.send(b"y" * 10)
                    time.sleep(0.05)
            assert time.monotonic() - begun < 4
            assert b"comes too slowly" in drip.recv(1 << 16)
        image = png(1500, 1500)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", served.port))
            head = f"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n"
            deaf.sendall(head.encode() + image)
            end = time.monotonic() + 20
            while served.metric("translate_images_total") < 1 or served.metric("translate_requests_active"):
                assert time.monotonic() < end
                time.sleep(0.05)
            time.sleep(2)
            found = b""
            try:
                while piece := deaf.recv(1 << 20):
                    found += piece
            except OSError:
                pass
            assert found.startswith(b"HTTP/1.1 200")
            assert len(found) < len(image) / 2
        many = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(12)]
        answers = [each.recv(1 << 16) for each in many]
        assert sum(b" 503 " in each and b"too many connections" in each for each in answers) >= 12 - 8
        for each in many:
            each.close()
        time.sleep(0.1)
        assert served.get("/health").status == 200


# --- queue, times and its end -----------------------------------------------------------------------------------------


def test_what_is_too_much_is_told_to_come_again(slow: Path) -> None:
    with serving(slow, "--queue", "2") as served, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: served.send(png(8, 8), seconds="0.7"), range(8)))
        assert sorted(each.status for each in found) == [200] * 2 + [503] * 6
        late = next(each for each in found if each.status == 503)
        assert late.headers["retry-after"] == "1"
        assert "try again later" in late.error
        assert served.send(png(8, 8)).status == 200


def test_times_that_are_over(slow: Path) -> None:
    with serving(slow, "--timeout", "0.6") as served, ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.send, png(8, 8), seconds="1.5")
        time.sleep(0.2)
        second = pool.submit(served.send, png(8, 8))
        assert (first.result().status, second.result().status) == (504, 503)
        assert second.result().headers["retry-after"]
        assert "0.6 seconds" in first.result().error
        begun = time.monotonic()
        part = b"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n" + bytes(9)
        assert served.raw(part).split(b" ")[1] == b"408"
        assert time.monotonic() - begun < 20
        end = time.monotonic() + 10
        while served.metric("translate_requests_active"):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert served.send(png(8, 8)).status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_has_answered(slow: Path, number: signal.Signals) -> None:
    with serving(slow) as served, ThreadPoolExecutor(3) as pool:
        found = [pool.submit(served.send, png(8, 8), seconds="0.6") for _ in range(3)]
        while served.metric("translate_requests_active") < 3:
            time.sleep(0.02)
        served.process.send_signal(number)
        assert [each.result().status for each in found] == [200] * 3
        assert served.process.wait() == 0
        assert served.process.communicate()[0].splitlines()[-1] == "stopped"
        with pytest.raises(OSError, match="refused"):
            served.get("/health")


def test_a_second_signal_ends_it_at_once(slow: Path) -> None:
    with serving(slow) as served, ThreadPoolExecutor(1) as pool:
        found = pool.submit(served.send, png(8, 8), seconds="30")
        while served.metric("translate_requests_active") < 1:
            time.sleep(0.02)
        begun = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait() == 130
        assert time.monotonic() - begun < 15
        with pytest.raises(OSError, match=r"."):
            found.result()


def test_nothing_is_left_in_the_temporary_folder(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(file) as served:
        assert served.send(png(8, 8)).status == 200
        assert served.send(b"none").status == 415
        assert [each.name for each in tmp_path.glob("translate-serve-*/*")] == []
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait() == 0
    assert not list(tmp_path.glob("translate-serve-*"))


FULL = """
import resource

# What is written goes as far as this, as to a disk that becomes full.
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX stands for a full disk")
def test_a_disk_that_takes_no_more_is_told(file: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "full_disk_of_mine.py"
    plugin.write_text(FULL)
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    large = images.encode(images.Image(noise), ".png")
    assert len(large) > 20_000
    with serving(file, before=("-p", str(plugin))) as served:
        for answer in (served.send(large), served.ask(body=large)):
            assert answer.status == 507
            assert answer.error == "the server cannot keep the image: file too large; tell who runs it"
        assert served.send(png(8, 8)).status == 200


def test_what_cannot_be_served_is_said(file: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = ran("-p", taking.PLUGIN, "serve", file, "--port", port)
        assert (done.returncode, done.stdout) == (2, "")
        assert "choose another --host or --port" in done.stderr
    for options, word in ((["--host", "192.0.2.1"], "cannot listen"), (["--allow-origin", "x"], "origin"),
                          (["--allow-host", "a/b"], "host")):  # fmt: skip
        done = ran("-p", taking.PLUGIN, "serve", file, "--port", "0", *options)
        assert done.returncode == 2
        assert word in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = ran("serve", tmp_path / "nothing", "--port", "0")
    assert done.returncode == 2


def test_a_missing_package_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(TranslateError, match=r"pip install 'image-translate\[serve\]'"):
        serve(file, port=0)


def test_other_commands_import_nothing_of_it() -> None:
    code = (
        "import sys, translate.cli, translate.serving\n"
        "try: translate.cli.main(['serve', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(each in sys.modules for each in ('torch', 'starlette', 'uvicorn', 'python_multipart')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--allow-origin" in done.stdout


def test_who_listens_everywhere_is_asked_by_addresses() -> None:
    """A name may stand for any address; an address cannot."""
    from translate.serving.guard import Guard
    from translate.serving.metrics import Metrics

    def knows(guard: Guard, host: str) -> bool:
        return guard._knows(host)

    async def none(*_: Any) -> None:
        """Answer nothing."""

    options: Any = {"hosts": ["GPU.example"], "origins": [], "metrics": Metrics(), "routes": set()}
    everywhere, here = (Guard(none, host=host, **options) for host in ("0.0.0.0", "127.0.0.1"))
    assert all(knows(everywhere, host) for host in ("192.168.1.5:80", "[fe80::1]:8000", "localhost", "gpu.example."))
    assert not any(knows(everywhere, host) for host in ("evil.example", "1.2.3.4.evil.example", "", "2130706433x"))
    assert all(knows(here, host) for host in ("127.0.0.1", "localhost:9", "[::1]"))
    assert not any(knows(here, host) for host in ("192.168.1.5", "evil.example", "127.0.0.1:99999999"))


def test_an_onnx_file_is_served(place: Path) -> None:
    """Its range and layout are found out as `convert` finds them out; no sentence tells where it lies."""
    pytest.importorskip("onnx")
    from test_programs import inverting, put

    exported, source = put(inverting(), place / "inverting.onnx"), place / "e.png"
    source.write_bytes(png(20, 27))
    with serving(exported) as served:
        answer = served.send(source)
        refused = served.send(source, passes="2"), served.send(source, samples="2")
    convert(exported, source, place / "e-out.png")
    assert answer.body == (place / "e-out.png").read_bytes()
    assert [each.status for each in refused] == [400, 400]
    assert all(str(place) not in each.error for each in refused)


def test_a_hole_may_be_the_transparency_of_the_image(tmp_path: Path) -> None:
    hole, plain = (Wanted("mask", "aligned", domain=Domain(1), hole=each) for each in (True, False))
    sent = Form(texts={"mask": "alpha"}, files={"image": tmp_path / "image"}, filename="../a.png")
    name, asked, given = asked_of_form(sent, {}, Taken(inputs={"mask": hole}))
    assert (name, given, asked["format"]) == ("a.png", {"mask": "alpha"}, "same")
    with pytest.raises(RefusedError, match="send it as a file"):
        asked_of_form(sent, {}, Taken(inputs={"mask": plain}))
    sent.texts["mask"] = "./alpha"
    with pytest.raises(RefusedError, match="send it as a file"):
        asked_of_form(sent, {}, Taken(inputs={"mask": hole}))
