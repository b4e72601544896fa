"""What is installed on this computer and what answers on it, found out without loading anything heavy.

Only what is there: whether it is well, and what to do about it, is `strop.doctor`'s.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

_OLLAMA_TIMEOUT_S = 1.0


def installed_version(package: str) -> str | None:
    """The installed version of a package, from its metadata; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except PackageNotFoundError:
        return None


def version_numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: "0.17.1-rc2" gives (0, 17, 1), "2.13.0+cpu" (2, 13, 0)."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def bf16_in_hardware() -> bool | None:
    """Whether the processor says that it multiplies in bf16; None where this system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        words = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
        return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
    if sys.platform == "darwin" and (sysctl := shutil.which("sysctl")):
        asked = subprocess.run(
            [sysctl, "-n", "hw.optional.arm.FEAT_BF16"], capture_output=True, text=True, timeout=5, check=False
        )
        return asked.stdout.strip() == "1"
    return None


def ollama_version(host: str) -> str | None:
    """The version that the Ollama at `host` gives, None where nothing answers within a second or it is no Ollama."""
    import httpx2

    try:
        answer = httpx2.get(f"{host.rstrip('/')}/api/version", timeout=_OLLAMA_TIMEOUT_S, trust_env=False)
        found = answer.json().get("version")
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def open_to_others(host: str) -> bool:
    """Whether the port of a local `host` also answers on this computer's address in the network."""
    import socket
    from urllib.parse import urlsplit

    import psutil

    parts = urlsplit(host)
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return True
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family == socket.AF_INET and not entry.address.startswith("127."):
                try:
                    socket.create_connection((entry.address, parts.port or 11434), timeout=0.3).close()
                except OSError:
                    continue
                return True
    return False
