"""The zip of the site, and the workflows that publish it."""

import os
import re
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import release
import yaml
from chromium import SETTLE, Visit, unavailable
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent
DATE = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "html"
    (folder / "book").mkdir(parents=True)
    (folder / "index.html").write_text("<p>home")
    (folder / "book" / "one.html").write_text("<p>one")
    (folder / ".buildinfo").write_text("config: 1")
    return folder


# The zip ------------------------------------------------------------------------------------------


def test_the_archive_has_one_folder_and_says_how_to_begin(site: Path, tmp_path: Path) -> None:
    assert release.pack(site, tmp_path / "a.zip", DATE) == 3
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        assert names == ["vae-book/README.txt", "vae-book/book/one.html", "vae-book/index.html"]
        assert "open index.html" in archive.read("vae-book/README.txt").decode()
        assert archive.read("vae-book/index.html") == b"<p>home"
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 2, 3, 4, 5, 6)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "html"]


def test_the_same_site_gives_the_same_bytes(site: Path, tmp_path: Path) -> None:
    release.pack(site, tmp_path / "a.zip", DATE)
    for path in site.rglob("*.html"):  # written again, at another time, for other readers
        path.write_bytes(path.read_bytes())
        path.chmod(0o600)
        os.utime(path, (1, 1))
    release.pack(site, tmp_path / "b.zip", DATE)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    (site / "index.html").write_text("<p>another")
    release.pack(site, tmp_path / "b.zip", DATE)
    assert (tmp_path / "a.zip").read_bytes() != (tmp_path / "b.zip").read_bytes()


def test_the_date_is_that_of_the_edition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert release.source_date(tmp_path) == release.EARLIEST
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    stamps = os.environ | {"GIT_COMMITTER_DATE": "1700000000 +0000"}
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True, env=stamps)
    assert release.source_date(tmp_path) == datetime.fromtimestamp(1_700_000_000, UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    assert release.source_date(tmp_path) == datetime.fromtimestamp(1_600_000_000, UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert release.source_date(tmp_path) == release.EARLIEST


@pytest.mark.site
def test_the_unpacked_site_opens_without_a_network(tmp_path: Path, tab: Page) -> None:
    if not (ROOT / "_build" / ".built-from").exists():
        unavailable("The book is not built, or its last build failed: run `make book`.")
    release.pack(release.SITE, tmp_path / "site.zip", DATE)
    with zipfile.ZipFile(tmp_path / "site.zip") as archive:
        archive.extractall(tmp_path)
    home = tmp_path / release.FOLDER
    visit = Visit(tab, home.as_uri() + "/")
    tab.goto(f"{visit.home}index.html")  # which leads on at once to the first page
    tab.wait_for_url("**/book/index.html", timeout=10_000)
    tab.locator('.bd-article a[href$=".html"]').first.click()
    tab.wait_for_url("**/01-from-autoencoders-to-vaes.html", timeout=10_000)
    tab.evaluate(SETTLE)
    assert tab.locator(".bd-article h1").inner_text()
    assert not visit.problems


# Publishing ---------------------------------------------------------------------------------------


def read_workflow(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_book_and_the_links_have_a_workflow() -> None:
    assert {"book", "links"} <= set(WORKFLOWS)
    book, links = (read_workflow(WORKFLOWS[name]) for name in ("book", "links"))
    assert set(book["on"]) == {"push", "pull_request", "workflow_dispatch"}
    assert "schedule" in links["on"]
    assert "pull_request" not in links["on"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_pinned_bounded_and_allowed_little(name: str) -> None:
    workflow = read_workflow(WORKFLOWS[name])
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    assert all(0 < job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
    for job in workflow["jobs"].values():
        if "write" in job.get("permissions", {}).values():
            assert "github.ref" in job["if"], "only a branch or a tag of this repository may publish"
    lines = WORKFLOWS[name].read_text().splitlines()
    for line in (line for line in lines if "uses:" in line):
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_a_workflow_calls_is_there(name: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for step in steps(read_workflow(WORKFLOWS[name])):
        for command in str(step.get("run", "")).splitlines():
            words = command.split()
            if words[0] == "make":
                assert set(words[1:]) <= set(targets), command
            for word in words:
                if re.match(r"(\.ci|tools)/", word):
                    assert (ROOT / word).is_file(), command


def test_the_release_gets_what_the_build_made() -> None:
    workflow = read_workflow(WORKFLOWS["book"])
    uploads = [step["with"] for step in steps(workflow) if "upload-artifact" in step.get("uses", "")]
    made = {Path(line).name for line in uploads[0]["path"].split()}
    assert made == {"vae-book.pdf", release.ARCHIVE.name}
    released = workflow["jobs"]["release"]["steps"][-1]["run"].split()
    assert made <= set(released)
    assert uploads[0]["name"] in workflow["jobs"]["release"]["steps"][0]["run"].split()


def test_the_pages_open_the_branch_that_is_published() -> None:
    workflow = read_workflow(WORKFLOWS["book"])
    assert workflow["env"]["BOOK_BRANCH"] == "published"
    commands = "\n".join(str(step.get("run", "")) for step in workflow["jobs"]["publish"]["steps"])
    assert 'tools/colab.py "$BOOK_REPOSITORY" "$BOOK_BRANCH"' in commands
    assert "push" in commands
    assert '"HEAD:refs/heads/$BOOK_BRANCH"' in commands
