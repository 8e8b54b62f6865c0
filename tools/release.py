"""What a release offers beside the site: `make zip` writes _build/vae-book-site.zip, the site to take along.

The same site gives the same bytes: files in the order of their names, with the time of the last commit,
or of SOURCE_DATE_EPOCH where that is set.
"""

import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
ARCHIVE = ROOT / "_build" / "vae-book-site.zip"
FOLDER = "vae-book"
# What Sphinx keeps for its next build.
LEFT_OUT = {".buildinfo", "objects.inv"}
EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # no zip file can name a time before
README = """\
Variational autoencoders, step by step

Unpack this folder anywhere and open index.html in a browser.

Nothing has to be installed, and no page asks the network for anything. The notebooks lie in
_sources/book; to run them, get the book's repository, whose README says how.
"""


def source_date(root: Path = ROOT) -> datetime:
    """When this edition was made: SOURCE_DATE_EPOCH, the last commit, or, knowing neither, 1980."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    if not seconds:
        command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
        try:
            seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return EARLIEST
    return max(EARLIEST, datetime.fromtimestamp(int(seconds), UTC))


def pack(site: Path, archive: Path, date: datetime) -> int:
    """Write the site into the archive; return the number of its files."""
    pages = {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file() and path.name not in LEFT_OUT
    }
    pages["README.txt"] = README.encode()
    unfinished = archive.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name in sorted(pages):
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}", date.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whose permissions come next, also where this runs on Windows
            entry.external_attr = 0o100644 << 16
            file.writestr(entry, pages[name])
    unfinished.replace(archive)
    return len(pages)


def main() -> int:
    if not (SITE / "index.html").exists():
        print("There is no site to pack: run `make book` first.")
        return 1
    count = pack(SITE, ARCHIVE, source_date())
    print(f"{ARCHIVE.relative_to(ROOT)} holds {count} files, {ARCHIVE.stat().st_size / 1e6:.1f} MB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
