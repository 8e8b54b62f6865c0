"""Pin again what the requirements pull in: write constraints.txt from this environment.

Run by `make constraints` in an environment that was made from requirements-dev.txt.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = (
    "# Pins what requirements.txt and requirements-dev.txt pull in; regenerate with `make constraints`.\n"
)
# Made by the environment itself, or from this checkout.
OWN = {"pip", "setuptools", "wheel", "vae-lib"}
# These come with PyTorch for one kind of accelerator, at versions PyTorch itself demands.
PLATFORM = re.compile(r"nvidia-.*|cuda-.*|triton.*|pytorch-triton.*")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(lines: list[str]) -> set[str]:
    """Names the requirement files pin themselves."""
    return {canonical(line.partition("==")[0]) for line in lines if "==" in line}


def pins(installed: dict[str, str], direct: set[str]) -> list[str]:
    """`name==version` of everything installed that is neither asked for directly nor local."""
    return [
        # "+cpu" and its like name a build of one index, not a version.
        f"{name}=={version.partition('+')[0]}"
        for name, version in sorted(installed.items(), key=lambda item: canonical(item[0]))
        if canonical(name) not in direct | OWN and not PLATFORM.fullmatch(canonical(name))
    ]


def main() -> int:
    lines = [line for path in ROOT.glob("requirements*.txt") for line in path.read_text().split()]
    installed = {found.metadata["Name"]: found.version for found in distributions()}
    found = pins(installed, required(lines))
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(found) + "\n")
    print(f"constraints.txt pins {len(found)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
