"""llama-server on one GGUF in a child process, for tests that compare it with transformers."""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Post = Callable[[str, dict[str, Any]], dict[str, Any]]
_CHILD = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.warmup = 512, 1, False
# One thread: idle threads spin, which costs more than a tiny model gains.
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def running(path: Path) -> Iterator[Post]:
    """Serve `path`; yields post(endpoint, body) -> answer. The child ends when its stdin closes, or is killed."""
    command = [sys.executable, "-c", _CHILD, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            address = child.stdout.readline().strip()
            assert address.startswith("http://"), f"llama-server did not start on {path}"
            yield lambda endpoint, body: _post(address + endpoint, body)
            child.stdin.close()
            child.wait(60)
        finally:
            child.kill()


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        data: dict[str, Any] = json.load(answer)
    return data
