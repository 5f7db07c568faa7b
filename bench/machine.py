"""Machine: what a run was made on, without which its figures mean nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_IN_MEMORY = {"tmpfs", "ramfs"}


def description(folder: Path) -> str:
    """Say in a line which processor, how many cores, how much memory, which system, and what disk the spool is on."""
    models = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; Linux {platform.release()}, "
        f"Python {platform.python_version()}; spool on {file_system(folder)}"
    )


def file_system(folder: Path) -> str:
    """Give the type of the file system that holds a folder, as the system names it."""
    path = folder.resolve()
    found = ("", "unknown")
    for line in _lines("/proc/self/mounts"):
        _, mount, kind, *_ = line.split()
        if path.is_relative_to(mount) and len(mount) >= len(found[0]):
            found = (mount, kind)
    return found[1]


def is_in_memory(folder: Path) -> bool:
    """Tell whether a folder is not on a disk, so that an fsync costs nothing."""
    return file_system(folder) in _IN_MEMORY


def _lines(file: str) -> list[str]:
    return Path(file).read_text(encoding="utf-8").splitlines()
