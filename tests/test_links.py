"""The checker of outside links, against a server of our own: no test asks the network."""

import http.server
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import links
import pytest
import requests

PATIENCE = links.Patience(timeout=0.4, pause=0.01, longest=0.05)


class Server(http.server.BaseHTTPRequestHandler):
    """Each path is a kind of trouble that a link can be in."""

    asked: Counter[str]

    def do_HEAD(self) -> None:
        self.asked[f"{self.command} {self.path}"] += 1
        times = self.asked[f"HEAD {self.path}"]
        status, headers = 200, {}
        if self.path == "/moved":
            status, headers = 301, {"Location": "/here"}
        elif self.path == "/elsewhere-today":
            status, headers = 302, {"Location": "/here"}
        elif self.path == "/gone":
            status = 404
        elif self.path == "/no-head" and self.command == "HEAD":
            status = 405
        elif self.path == "/no-robots":
            status = 403
        elif self.path == "/busy" and times < 3:
            status, headers = 429, {"Retry-After": "1"}
        elif self.path == "/always-busy":
            status = 429
        elif self.path == "/ill" and times < 2:
            status = 503
        elif self.path == "/slow":
            time.sleep(1)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    asked: Counter[str] = Counter()
    handler = type("CountingServer", (Server,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield SimpleNamespace(address=f"http://127.0.0.1:{found.server_port}", asked=asked)
        found.shutdown()


KINDS = {
    "/here": ("ok", ""),
    "/moved": ("moved", "/here"),
    "/elsewhere-today": ("ok", ""),
    "/gone": ("broken", "status 404"),
    "/no-head": ("ok", ""),
    "/no-robots": ("refused", "status 403"),
    "/busy": ("ok", ""),
    "/always-busy": ("refused", "status 429"),
    "/ill": ("ok", ""),
    "/slow": ("broken", "ReadTimeout"),
}


@pytest.mark.parametrize("path", KINDS)
def test_the_answer_says_what_became_of_a_link(path: str, server: SimpleNamespace) -> None:
    with requests.Session() as session:
        answer = links.check(session, server.address + path, PATIENCE)
    kind, reason = KINDS[path]
    assert answer.kind == kind
    assert answer.reason.endswith(reason)


def test_what_is_missing_is_not_asked_for_again(server: SimpleNamespace) -> None:
    server.asked.clear()
    links.check_host([f"{server.address}/gone"], PATIENCE)
    assert server.asked == {"HEAD /gone": 1, "GET /gone": 1}


def test_a_silent_server_is_asked_three_times(server: SimpleNamespace) -> None:
    server.asked.clear()
    links.check_host([f"{server.address}/slow"], PATIENCE)
    assert server.asked["HEAD /slow"] == links.ATTEMPTS


def test_a_host_that_does_not_exist_is_broken() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    assert links.check_host([address], PATIENCE)[address].kind == "broken"


def test_the_wait_is_what_the_server_asks_for_within_reason() -> None:
    patience = links.Patience(pause=2, longest=30)
    reply = requests.Response()
    assert links.seconds_to_wait(reply, 2, patience) == 8
    for asked, waits in (("7", 7), ("3600", 30), ("Wed, 21 Oct 2026 07:28:00 GMT", 4)):
        reply.headers["Retry-After"] = asked
        assert links.seconds_to_wait(reply, 1, patience) == waits


def test_each_host_gets_one_connection_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def check_host(addresses: list[str], patience: links.Patience) -> dict[str, links.Answer]:
        seen.append(addresses)
        return {address: links.Answer("ok") for address in addresses}

    monkeypatch.setattr(links, "check_host", check_host)
    answers = links.check_all({"https://a.org/2", "https://b.org/", "https://a.org/1"}, PATIENCE)
    assert sorted(seen) == [["https://a.org/1", "https://a.org/2"], ["https://b.org/"]]
    assert len(answers) == 3


def test_links_are_collected_from_pages_and_from_the_bibliography(tmp_path: Path) -> None:
    (tmp_path / "site" / "part").mkdir(parents=True)
    page = '<a href="https://a.org/x#part">a</a> <a href="../inside.html">i</a> <a href="mailto:x">m</a>'
    (tmp_path / "site" / "part" / "one.html").write_text(page + '<link href="https://style.org">')
    (tmp_path / "site" / "two.html").write_text('<a href="https://a.org/x">a</a>')
    bib = tmp_path / "references.bib"
    bib.write_text("@misc{k, title={T}, doi={10.1/ab}, eprint={1312.6114}, url={https://a.org/x}}\n")
    assert links.collect(tmp_path / "site", bib) == {
        "https://a.org/x": ["part/one.html", "two.html", "references.bib"],
        "https://doi.org/10.1/ab": ["references.bib"],
        "https://arxiv.org/abs/1312.6114": ["references.bib"],
    }


def test_the_report_names_the_pages_of_what_is_broken() -> None:
    answers = {
        "https://a.org/": links.Answer("moved", "to https://b.org/"),
        "https://c.org/": links.Answer("broken", "status 404"),
        "https://d.org/": links.Answer("ok"),
    }
    report = links.report(answers, {address: [f"{address[8]}.html"] for address in answers}).splitlines()
    assert report[0] == "broken   https://c.org/: status 404"
    assert report[1].strip() == "on c.html"
    assert report[-1] == "3 addresses: 1 broken, 0 refused, 1 moved, 1 ok."
    assert not any("d.org" in line for line in report)


@pytest.mark.parametrize(("kind", "status"), [("broken", 1), ("refused", 0), ("moved", 0), ("ok", 0)])
def test_only_a_broken_link_fails_the_command(
    kind: str, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "index.html").touch()
    monkeypatch.setattr(links, "SITE", tmp_path)
    monkeypatch.setattr(links, "collect", lambda *places: {"https://a.org/": ["one.html"]})
    monkeypatch.setattr(links, "check_all", lambda *asked: {"https://a.org/": links.Answer(kind)})
    assert links.main() == status
