"""One llama-server in a process of its own: `python -m strop.deploy.llama_child`.

The parent writes one JSON line to stdin (`gguf`, `context_tokens`, `slots`, `threads`, `api_key`, `alias`), reads one
JSON line from stdout (`{"url": ...}` or `{"error": ...}`), and keeps stdin open for as long as it wants the server.
When stdin closes, because the parent said so or died, the process ends at once: no server outlives its owner.
Destroying the server object with a request in flight can hang (notes of llama.cpp's server), so it is never destroyed.
"""

import json
import os
import signal
import sys
from typing import Any


def main() -> None:
    """Start the server that stdin asks for, answer with its address, and live until stdin closes."""
    # Ctrl-C in a terminal reaches the parent too, which closes stdin: Python's own way out would destroy the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # llama.cpp logs to the C-level stdout; the one line for the parent goes out on a private copy of it.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    try:
        server = _start(job)
        answer.write(json.dumps({"url": server.listening_address}) + "\n")
    except Exception as error:  # whatever llama.cpp raises is the parent's to report
        answer.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        answer.flush()
        os._exit(1)
    answer.flush()
    sys.stdin.read()
    os._exit(0)


def _start(job: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = job["gguf"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [job["api_key"]]
    if job.get("alias"):
        params.model_alias = {job["alias"]}
    params.n_ctx = job["context_tokens"] * job["slots"]
    params.n_parallel = job["slots"]
    # A request is let go of, and others get their turn, between two batches; llama.cpp's 2,048 tokens make that four
    # times rarer and nothing faster, since `n_ubatch` of them are computed at once either way.
    params.n_batch = params.n_ubatch
    params.kv_unified = False
    params.cache_ram_mib = 0
    params.warmup = True
    params.offline = True
    params.use_jinja = True
    params.endpoint_props = False
    params.ui = False
    params.verbosity = 0
    params.cpuparams.n_threads = job["threads"]
    params.cpuparams_batch.n_threads = job["threads"]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
