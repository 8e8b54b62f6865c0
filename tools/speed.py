"""How heavy and how fast is every page of the built site?

    python tools/speed.py [page ...]

Prints, for each page on a desktop whose processor is slowed down four times: kilobytes that travel
(what compresses, compressed), seconds until the largest thing is painted, and how far the layout jumped.
The site comes from a local server.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import chromium  # noqa: E402
import notebooks  # noqa: E402

SLOWDOWN = 4
PATIENCE_S = 120


def main() -> int:
    pages = sys.argv[1:] or notebooks.toc_entries(ROOT)
    with chromium.served(chromium.SITE) as home, chromium.launched() as browser:
        print(f"{'kB':>6} {'paint':>7} {'shift':>6}")
        for name in pages:
            context = browser.new_context(viewport=chromium.DESKTOP)  # with an empty cache
            page = context.new_page()
            page.set_default_timeout(1000 * PATIENCE_S)
            context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
            visit = chromium.Visit(page, home)
            visit.open(f"{name}.html")
            seconds, shift = page.evaluate("[largestPaint, layoutShift]")
            print(f"{visit.kilobytes():6.0f} {seconds:5.2f} s {shift:6.3f}  {name}", flush=True)
            context.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
