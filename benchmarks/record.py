"""Where and with what figures were measured, and the file that keeps them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import jax

__all__ = ["keep"]


def keep(out: Path | None, figures: dict[str, Any]) -> None:
    """Writes figures as JSON, with the device and the versions; nothing where `out` is None."""
    if out is None:
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**_device(), **figures}, indent=1) + "\n")
    print(f"wrote {out}")


def _device() -> dict[str, object]:
    installed = {}
    for package in ("jax", "flax", "torch", "torchvision", "captum"):
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = None
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": installed,
    }
