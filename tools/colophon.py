"""What the book says about itself: versions, the seconds each chapter took, its date, how to cite it."""

import datetime
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import myst
import nbformat
import notebooks
import yaml
from jupyter_cache import get_cache


def last_change(root: Path) -> datetime.date | None:
    """Day of the last change: SOURCE_DATE_EPOCH if set, else the last commit, if there is one."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    if not seconds:
        command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
        try:
            seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).date() if seconds else None


def in_words(day: datetime.date) -> str:
    """A date in English, whatever the locale.

    >>> in_words(datetime.date(2026, 11, 2))
    '2 November 2026'
    """
    months = "January February March April May June July August September October November December"
    return f"{day.day} {months.split()[day.month - 1]} {day.year}"


def last_change_sentence(root: Path) -> str:
    day = last_change(root)
    return f"The text and the code were last changed on {in_words(day)}." if day else ""


def versions(root: Path) -> str:
    """A table of what the pages were made with: the packages that requirements.txt names."""
    text = (root / "requirements.txt").read_text(encoding="utf-8")
    packages = re.findall(r"^([\w.-]+)==", text, flags=re.MULTILINE)
    rows = [("Python", platform.python_version())]
    rows += [(name, version(name).partition("+")[0]) for name in packages]
    lines = [f"| {name} | {number} |" for name, number in rows]
    return "\n".join(["| package | version |", "|---|---|", *lines])


def execution_seconds(cache_path: str, root: Path) -> list[tuple[str, str, float | None]]:
    """(page, title, seconds) of every chapter; None where the cache does not hold it."""
    cache = get_cache(cache_path)
    found = []
    for chapter in notebooks.chapters(root):
        try:
            record = cache.match_cache_notebook(nbformat.read(chapter.path, as_version=4))
            seconds = record.data.get("execution_seconds")
        except KeyError:
            seconds = None
        title = myst.headings(notebooks.source(chapter.notebook["cells"][0]))[0][1]
        found.append((chapter.path.relative_to(root).as_posix(), title, seconds))
    return found


def execution_table(times: list[tuple[str, str, float | None]]) -> str:
    """The times as a table, to whole seconds, with their sum."""
    lines = [
        f"| [{title}](/{page}) | {'not known' if seconds is None else f'{seconds:.0f} s'} |"
        for page, title, seconds in times
    ]
    total = sum(seconds or 0 for *_, seconds in times)
    lines += [f"| together | {total // 60:.0f} min {total % 60:.0f} s |"]
    return "\n".join(["| chapter | time |", "|---|---|", *lines])


def bibtex(citation: dict[str, Any], address: str = "") -> str:
    """A BibTeX entry from CITATION.cff; without an address the book names none."""
    # A name in one piece, such as "the authors of ...", goes in braces: BibTeX would cut it at its words.
    people = [
        f"{who['family-names']}, {who['given-names']}" if "family-names" in who else f"{{{who['name']}}}"
        for who in citation["authors"]
    ]
    released = str(citation["date-released"])
    fields = {
        "author": " and ".join(people),
        "title": f"{{{citation['title']}}}",
        "year": released[:4],
        "version": str(citation["version"]),
        "url": citation.get("url") or citation.get("repository-code") or address,
    }
    lines = [f"  {key:7} = {{{value}}}," for key, value in fields.items() if value]
    word = re.findall(r"[a-z]+", citation["title"].lower())[0]
    return "\n".join([f"@misc{{{word}{released[:4]},", *lines, "}"])


def citation_block(root: Path, address: str) -> str:
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    return f"```bibtex\n{bibtex(citation, address)}\n```"
