"""What the processor offers an inference engine: how many runners, and which class of integer kernels.

The kernel class belongs to a calibration's key: each adds floats in its own order, so that an input now and then rounds
to the next integer and a score differs in its third digit. Canaries tell whether it differs by more.
"""

import os
import platform
from pathlib import Path
from typing import Final

# From strongest to weakest: the first whose flags are all present is the one that ONNX Runtime selects.
_CLASSES: Final = (
    ("amx-int8", {"amx_int8", "avx512_vnni"}),
    ("avx512-vnni", {"avx512_vnni"}),
    ("avx-vnni", {"avx_vnni"}),
    ("avx512", {"avx512bw"}),
    ("avx2", {"avx2"}),
    ("neon-i8mm", {"i8mm"}),
    ("neon-dotprod", {"asimddp"}),
)
_SATURATING: Final = {"avx512", "avx2", "x86_64", "AMD64"}
_CPUINFO: Final = Path("/proc/cpuinfo")
_CPU_MAX: Final = Path("/sys/fs/cgroup/cpu.max")


def kernel_class(cpuinfo: str | None = None) -> str:
    """Return the kernel class of a processor described in the form of /proc/cpuinfo, by default this one."""
    flags = _flags(cpuinfo if cpuinfo is not None else _read(_CPUINFO))
    for name, needed in _CLASSES:
        if needed <= flags:
            return name
    return platform.machine() or "unknown"


def saturates(kernel: str | None = None) -> bool:
    """Return whether a kernel class, by default this processor's, saturates at 16 bits inside an 8-bit product."""
    return (kernel_class() if kernel is None else kernel) in _SATURATING


def runner_count(asked: int = 0) -> int:
    """Return how many runners to start: as asked, or one for each core that this process may really use."""
    if asked > 0:
        return asked
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(_CPU_MAX).partition(" ")
    if quota.strip().isdigit() and period.strip().isdigit():
        allowed = min(allowed, max(1, round(int(quota) / int(period))))
    return allowed


def _flags(cpuinfo: str) -> set[str]:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return set(value.split())
    return set()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
