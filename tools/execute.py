"""Execute the chapters that changed, several at once, into the cache that the build reads.

Run by tools/build.py with the kernels' environment. Sphinx would execute one chapter after the other, and
these small networks gain little from a second core: with a chapter on each core the book takes half the
time. A chapter that fails is left to Sphinx, which reports it.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
import notebooks
from book_extension import CACHE_FOLDER, outcome_hash
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 600  # as in _config.yml
MAX_SIDE_BY_SIDE = 4


def run_alone(path: Path) -> tuple[Any, float, bool]:
    """The executed notebook, the seconds it took, and whether it got to its end."""
    notebook = nbformat.read(path, as_version=4)
    result = single_nb_execution(notebook, str(path.parent), TIMEOUT_S, allow_errors=False)
    return notebook, result.time, result.err is None


def main() -> int:
    cache = get_cache(str(ROOT / "_build" / CACHE_FOLDER / outcome_hash(ROOT)))
    todo = []
    for chapter in notebooks.chapters(ROOT):
        try:
            cache.match_cache_notebook(nbformat.read(chapter.path, as_version=4))
        except KeyError:
            todo.append(chapter.path)
    if not todo:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, MAX_SIDE_BY_SIDE, len(todo))
    print(f"executing {len(todo)} chapters, {workers} at a time", flush=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run_alone, path): path for path in todo}
        for i, future in enumerate(as_completed(futures), start=1):
            notebook, seconds, succeeded = future.result()
            path = futures[future]
            name = path.relative_to(ROOT)
            if succeeded:
                record = cache.add_nb_to_project(str(path))
                bundle = CacheBundleIn(notebook, record.uri, data={"execution_seconds": seconds})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            outcome = f"executed in {seconds:.0f} s" if succeeded else "failed"
            print(f"{i:3} of {len(todo)}: {name} {outcome}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
