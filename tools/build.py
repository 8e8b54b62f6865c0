"""Build the book: execute what changed, render every page into _build/html, fail on a warning.

Run by `make book`. Set BOOK_REPOSITORY (and BOOK_BRANCH) to get repository, Binder and Colab
buttons; without it the pages show none.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
STAMP = BUILD / ".built-from"


def kernel_environment() -> dict[str, str]:
    """The environment the kernels inherit: the same on every machine, and quiet."""
    profile = BUILD / "home" / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    # Each kernel would warn that its sockets, which never leave this machine, are not encrypted.
    (profile / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n")
    environment = os.environ | {
        "TQDM_DISABLE": "1",
        "PYTHONHASHSEED": "0",
        # These networks gain little from a second core, and lose tenfold if something else wants it.
        "OMP_NUM_THREADS": "1",
        # Live figures as plain HTML: a page has no kernel that a widget could talk to.
        "VAE_LIB_STATIC": "1",
        # A reader's own matplotlibrc or IPython start-up files must not change the pages, and
        # nothing is to be written outside _build.
        "MPLCONFIGDIR": str(BUILD / "home" / "matplotlib"),
        "IPYTHONDIR": str(BUILD / "home" / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(BUILD / "home" / "runtime"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    # With a backend forced from outside, cells would draw figures that no page shows.
    environment.pop("MPLBACKEND", None)
    return environment


def page_titles(root: Path) -> list[str]:
    """First heading of every page: each page repeats the others' titles in its navigation."""
    titles = []
    for page in sorted([*root.glob("book/**/*.md"), *root.glob("book/**/*.ipynb")]):
        lines = page.read_text(encoding="utf-8").splitlines()
        heading = next((line.strip() for line in lines if line.strip(' "').startswith("# ")), "")
        titles.append(f"{page.relative_to(root)}: {heading}")
    return titles


def fingerprint(root: Path) -> str:
    """Hash of what every page depends on, so that a change in it renders all of them again."""
    digest = hashlib.sha256()
    shared = [root / "_config.yml", root / "_toc.yml", root / "constraints.txt"]
    shared += sorted(root.glob("requirements*.txt")) + sorted(root.glob("tools/*.py"))
    shared += [root / "book" / "references.bib", *sorted(root.glob("book/reference/*.yml"))]
    for path in shared:
        digest.update(path.read_bytes())
    for variable in ("BOOK_REPOSITORY", "BOOK_BRANCH", "BOOK_SOLUTIONS"):
        digest.update(f"{variable}={os.environ.get(variable, '')}\n".encode())
    digest.update("\n".join(page_titles(root)).encode())
    return digest.hexdigest()


def main() -> int:
    environment = kernel_environment()
    stamp = fingerprint(ROOT)
    if not STAMP.exists() or STAMP.read_text() != stamp:
        # Everything but the execution cache, so that no page stays of a chapter that moved.
        for folder in ("html", ".doctrees", "jupyter_execute"):
            shutil.rmtree(BUILD / folder, ignore_errors=True)
    # A warning is only reported while its page is read, so after a failed build every page has
    # to be read again: without the stamp the next run does that.
    STAMP.unlink(missing_ok=True)
    subprocess.run([sys.executable, str(ROOT / "tools" / "execute.py")], env=environment, check=True)
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [str(jupyter_book), "build", str(ROOT), "-W", "--keep-going"]
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    page = BUILD / "html" / "index.html"
    if status != 0 or not page.exists():
        print("\nThe book was not built. Each warning above names a page and a line; in a notebook")
        print("line 30002 lies in the 3rd cell. A cell that failed has its traceback there, too.")
        return status or 1
    STAMP.write_text(stamp)
    print(f"\nThe book is built. Open {page.as_uri()}")
    print("or serve it:  .venv/bin/python -m http.server --directory _build/html 8000")
    return 0


if __name__ == "__main__":
    sys.exit(main())
