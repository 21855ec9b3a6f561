"""Fails the set-up if a CUDA build of torch got in: a laptop must never be given several GB of it."""

import sys
from importlib.metadata import distributions, version

cuda = sorted(
    name
    for distribution in distributions()
    if (name := (distribution.metadata["Name"] or "").lower()).startswith(("nvidia-", "cuda-"))
)
if cuda:
    sys.exit(f"setup: CUDA packages were installed ({', '.join(cuda)}); remove .venv and run make setup again")
if sys.platform == "linux" and "+cpu" not in version("torch"):
    sys.exit(f"setup: torch {version('torch')} is not a CPU build; remove .venv and run make setup again")
