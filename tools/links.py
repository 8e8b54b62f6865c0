"""`make links`: does every address outside the book still answer? Needs the built site and a network.

No part of the tests, which need neither: other people's servers may be down. Every host is asked by one
connection at a time, with a pause between questions. What is gone is listed with the pages that point
there, and makes the command fail; what refuses a program, or moved, is only mentioned.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import requests
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
SOURCES = ROOT / "book" / "references.bib"

HEADERS = {"User-Agent": "vae-book-link-check/1.0", "Accept": "text/html,*/*;q=0.8"}
HOSTS_AT_ONCE = 8
ATTEMPTS = 3
KINDS = ("broken", "refused", "moved", "ok")
# The server is there, but does not talk to programs, or not so often.
REFUSED = {401, 403, 418, 429, 451, 999}
MOVED = {301, 308}


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds."""

    timeout: float = 20.0
    pause: float = 1.0
    longest: float = 60.0


@dataclass(frozen=True)
class Answer:
    """What became of an address: `ok`, `moved`, `refused` or `broken`, and why."""

    kind: str
    reason: str = ""


# What the book points to --------------------------------------------------------------------------


class Addresses(HTMLParser):
    """Where the links of a page lead outside the site."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target and urlsplit(target).scheme in ("http", "https"):
            self.found.add(urldefrag(target).url)


def addresses_of_page(text: str) -> set[str]:
    page = Addresses()
    page.feed(text)
    return page.found


def addresses_of_sources(path: Path) -> set[str]:
    """What a bibliography points to; a DOI or an arXiv number is an address as well."""
    found = set()
    for entry in parse_file(str(path)).entries.values():
        fields = {name.lower(): value for name, value in entry.fields.items()}
        if "url" in fields:
            found.add(urldefrag(fields["url"]).url)
        if "doi" in fields:
            found.add(f"https://doi.org/{fields['doi']}")
        if "eprint" in fields:
            found.add(f"https://arxiv.org/abs/{fields['eprint']}")
    return found


def collect(site: Path, sources: Path) -> dict[str, list[str]]:
    """Every address, with the pages that point to it."""
    pages: dict[str, list[str]] = defaultdict(list)
    for path in sorted(site.rglob("*.html")):
        for address in addresses_of_page(path.read_text(encoding="utf-8")):
            pages[address].append(path.relative_to(site).as_posix())
    for address in addresses_of_sources(sources):
        pages[address].append(sources.name)
    return dict(pages)


# Asking -------------------------------------------------------------------------------------------


def seconds_to_wait(reply: requests.Response, attempt: int, patience: Patience) -> float:
    """What the server asks for, or longer with every attempt."""
    asked = reply.headers.get("Retry-After", "")
    return min(patience.longest, float(asked) if asked.isdigit() else patience.pause * 2**attempt)


def ask(session: requests.Session, address: str, patience: Patience) -> requests.Response:
    """The answer to HEAD, or, as some servers know only that, to GET, without the body."""
    reply = session.head(address, timeout=patience.timeout, allow_redirects=True)
    if reply.status_code < 400 or reply.status_code == 429:
        return reply
    with session.get(address, timeout=patience.timeout, stream=True) as answer:
        return answer


def judge(reply: requests.Response) -> Answer:
    if reply.status_code in REFUSED:
        return Answer("refused", f"status {reply.status_code}")
    if reply.status_code >= 400:
        return Answer("broken", f"status {reply.status_code}")
    if reply.history and all(step.status_code in MOVED for step in reply.history):
        return Answer("moved", f"to {reply.url}")
    return Answer("ok")


def check(session: requests.Session, address: str, patience: Patience) -> Answer:
    """Ask up to three times; what is missing is missing, what is busy or silent may come back."""
    answer = Answer("broken", "never asked")
    for attempt in range(ATTEMPTS):
        wait = patience.pause * 2**attempt
        try:
            reply = ask(session, address, patience)
        except requests.RequestException as error:
            answer = Answer("broken", type(error).__name__)
        else:
            answer = judge(reply)
            if reply.status_code != 429 and reply.status_code < 500:
                return answer
            wait = seconds_to_wait(reply, attempt, patience)
        if attempt < ATTEMPTS - 1:
            time.sleep(wait)
    return answer


def check_host(addresses: list[str], patience: Patience) -> dict[str, Answer]:
    """Ask one server for one address after the other."""
    answers = {}
    with requests.Session() as session:
        session.headers.update(HEADERS)
        for i, address in enumerate(addresses):
            if i:
                time.sleep(patience.pause)
            answers[address] = check(session, address, patience)
    return answers


def check_all(addresses: Iterable[str], patience: Patience) -> dict[str, Answer]:
    """Ask several servers side by side, each by one connection."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for address in sorted(addresses):
        hosts[urlsplit(address).netloc].append(address)
    one_host = partial(check_host, patience=patience)
    with ThreadPoolExecutor(HOSTS_AT_ONCE) as pool:
        return dict(chain.from_iterable(found.items() for found in pool.map(one_host, hosts.values())))


def report(answers: dict[str, Answer], pages: dict[str, list[str]]) -> str:
    """What is not as it should be, the worst first."""
    lines = []
    for kind in KINDS[:-1]:
        for address, answer in sorted(answers.items()):
            if answer.kind == kind:
                lines.append(f"{kind:8} {address}: {answer.reason}")
                lines += [f"{'':11}on {page}" for page in pages[address]]
    counts = Counter(answer.kind for answer in answers.values())
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
    return "\n".join([*lines, f"{len(answers)} addresses: {summary}."])


def main() -> int:
    if not (SITE / "index.html").exists():
        print("There is no site to read: run `make book` first.")
        return 1
    pages = collect(SITE, SOURCES)
    answers = check_all(pages, Patience())
    print(report(answers, pages))
    return any(answer.kind == "broken" for answer in answers.values())


if __name__ == "__main__":
    sys.exit(main())
