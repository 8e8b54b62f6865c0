"""The browser of the tests: what a visit to a page is, and what may go wrong in it."""

import functools
import gzip
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, Page, Response, ViewportSize, sync_playwright

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

SETTLE = """async () => {
    if (document.readyState !== "complete")
        await new Promise(done => window.addEventListener("load", done));
    if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
    await document.fonts.ready;
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Preloading would fetch style sheets by addresses that do not exist, and log an error for each.
# With a list of rules it looks at those alone; with null, or none, at all of them.
AXE = """async rules => (await axe.run(document, {preload: false, resultTypes: ["violations"],
        ...(rules ? {runOnly: rules} : {})}))
    .violations.map(v => `${v.id}: ${v.help}\\n    ` +
        v.nodes.map(n => n.html.slice(0, 160)).join("\\n    "))"""


# Seconds until the largest thing was painted, and how far the layout jumped.
WATCH = """
window.largestPaint = 0;
window.layoutShift = 0;
new PerformanceObserver(list => { for (const e of list.getEntries()) largestPaint = e.startTime / 1000; })
    .observe({type: "largest-contentful-paint", buffered: true});
new PerformanceObserver(list => { for (const e of list.getEntries()) layoutShift += e.value; })
    .observe({type: "layout-shift", buffered: true});
"""
COMPRESSED = (".woff", ".woff2", ".png", ".jpg", ".gz")


def unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Keep the report of the tests free of one line for each request."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's address while it is served by http."""
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def launched() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        unavailable("No Chromium on PATH: `apt-get install chromium`, or install Google Chrome.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """A browser tab, and what went wrong in it."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.home = home
        self.problems: list[str] = []
        self.replies: list[Response] = []
        page.add_init_script(WATCH)
        page.on("request", lambda request: self.note_request(request.url))
        page.on("response", lambda reply: self.note_reply(reply))
        page.on("console", lambda message: self.note_message(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))

    def note_request(self, url: str) -> None:
        if not url.startswith((self.home, "data:", "blob:")):
            self.problems.append(f"request to another host: {url}")

    def note_reply(self, reply: Response) -> None:
        self.replies.append(reply)
        if reply.status >= 400:
            self.problems.append(f"status {reply.status}: {reply.url}")

    def note_message(self, kind: str, text: str) -> None:
        if kind == "error":
            self.problems.append(f"console error: {text}")

    def open(self, path: str) -> None:
        self.page.goto(self.home + path)
        self.page.evaluate(SETTLE)

    def kilobytes(self) -> float:
        """What has travelled so far, compressed as a web server would."""
        bodies = [(reply.url, reply.body()) for reply in self.replies if reply.ok]
        return sum(len(b if url.endswith(COMPRESSED) else gzip.compress(b)) for url, b in bodies) / 1000


@functools.cache
def axe_source() -> str:
    package = find_spec("axe_playwright_python")
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "axe.min.js").read_text(encoding="utf-8")
