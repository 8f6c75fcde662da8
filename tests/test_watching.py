"""Watching: the server of a run's report, asked by a real client, also as strangers would."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reports import grid, log, make, row

from translate.errors import TranslateError
from translate.reporting import watch
from translate.reporting.watching import Watch


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Watch]:
    found = watch(make(tmp_path / "run", rows=2).folder, port=0)
    thread = threading.Thread(target=found.serve)
    thread.start()
    yield found
    found.close()
    thread.join(10)
    assert not thread.is_alive()


def ask(server: Watch, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    given = {"Host": f"127.0.0.1:{server.port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=given)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_the_page_its_data_and_its_grids(served: Watch) -> None:
    status, headers, body = ask(served, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<title>run: training report</title>" in body
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, headers, body = ask(served, "/data.json")
    content = json.loads(body)
    assert (status, content["live"], content["runs"][0]["step"]) == (200, 2.0, 20)
    listed = content["runs"][0]["grids"]["list"]
    assert [each["src"] for each in listed] == ["grids/0", "grids/10", "grids/20"]
    for each in listed:
        status, headers, body = ask(served, f"/{each['src']}")
        assert (status, headers["Content-Type"], body[:4]) == (200, "image/png", b"\x89PNG")
        assert body == (served.run.samples / f"step-{each['step']:08d}.png").read_bytes()


def test_only_what_is_new_is_sent_again(served: Watch) -> None:
    mark = ask(served, "/data.json")[1]["ETag"]
    assert ask(served, "/data.json", If_None_Match=mark)[0] == 304
    log(served.run.folder, row(30))
    grid(served.run, 30)
    status, headers, body = ask(served, "/data.json", If_None_Match=mark)
    assert status == 200
    assert headers["ETag"] != mark
    (found,) = json.loads(body)["runs"]
    assert found["step"] == 30
    assert found["grids"]["list"][-1] == {"step": 30, "src": "grids/30"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"}, {"Host": "127.0.0.1"}, {"Host": "127.0.0.1:1"}, {"Host": ""},
        {"Host": "localhost.evil.example:{port}"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"}, {"Origin": "http://127.0.0.1:1"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/data.json", "/grids/0"])
def test_other_hosts_and_origins_are_refused(headers: dict[str, str], path: str, served: Watch) -> None:
    filled = {name: value.format(port=served.port) for name, value in headers.items()}
    status, _, body = ask(served, path, **filled)
    assert (status, body) == (403, b"this server answers its own page only\n")


def test_its_own_page_is_answered(served: Watch) -> None:
    for host in ("127.0.0.1", "localhost"):
        assert ask(served, "/data.json", Host=f"{host}:{served.port}", Origin=f"http://{host}:{served.port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/config.json", "/grids/../config.json", "/grids/1", "/grids/%2e%2e/config.json", "//etc/passwd", "/grids/0/",
     "/grids/" + "9" * 400, "/data.json?x=/etc/passwd", "/grids/0x1", "/../config.json", "/\xff", "/grids/-0",
     "http://127.0.0.1/", "*"],
)  # fmt: skip
def test_no_path_comes_from_a_client(path: str, served: Watch) -> None:
    with socket.create_connection(("127.0.0.1", served.port), 20) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n"
        client.sendall(request.encode("latin-1"))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.split(b"\r\n", 1)[0].split()[1] == b"404"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "PATCH", "NONSENSE"])
def test_only_get_is_answered(method: str, served: Watch) -> None:
    assert ask(served, "/", method)[0] == 501


@pytest.mark.parametrize(
    "request_",
    [b"\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9\r\n\r\n", b"G" * 70_000 + b"\r\n\r\n"],
)
def test_nonsense_harms_nothing(request_: bytes, served: Watch, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", served.port), 20) as client:
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert ask(served, "/data.json")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_run_that_cannot_be_read_for_a_moment_is_told(served: Watch) -> None:
    config = served.run.folder / "config.json"
    content = config.read_text()
    config.write_text("{")
    status, _, body = ask(served, "/data.json")
    assert status == 503
    assert b"is damaged" in body
    config.write_text(content)
    assert ask(served, "/data.json")[0] == 200


def test_a_grid_that_leads_elsewhere_is_not_served(served: Watch, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_text("secret")
    (served.run.samples / "step-00000099.png").symlink_to(tmp_path / "secret.png")
    assert ask(served, "/grids/99")[0] == 404


def test_a_port_that_is_taken_is_told(served: Watch, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match=f"cannot serve on port {served.port} of 127.0.0.1: .*another --port"):
        watch(make(tmp_path / "other").folder, port=served.port)
    with pytest.raises(TranslateError, match="port must be a whole number"):
        watch(served.run.folder, port=70000)
    with pytest.raises(TranslateError, match="is not a run"):
        watch(tmp_path / "nothing", port=0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it(number: signal.Signals, code: int, tmp_path: Path) -> None:
    folder = make(tmp_path / "run").folder
    command = [sys.executable, "-m", "translate", "watch", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f"watch {folder} at http://127.0.0.1:")
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
