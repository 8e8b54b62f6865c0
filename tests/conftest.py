"""Shared by all tests."""

import sys
from pathlib import Path

# The checks of the notebooks are scripts in tools/, which is no package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
