"""Which encoder writes K-quants as llama.cpp does, and what each type costs a model.

    python benchmarks/quantise.py smollm2 [--libllama FOLDER]

Quantises the base as Strop does and compares every tensor, byte for byte, with llama.cpp's own `llama_model_quantize`:
from a folder with its shared libraries (those inside npm's `@node-llama-cpp/linux-x64` or `llama-cpp-python` do), or
`llama-quantize` on PATH. Then measures each type's KL divergence from F16, and what it answers to one question.
"""

import argparse
import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from strop import quant
from strop.deploy import container
from strop.deploy.base import base_gguf
from strop.deploy.container import Container
from strop.deploy.gguf import merge, read_rows
from strop.deploy.quantise import FILE_TYPES, Encoder, from_libgguf, in_xllamacpp, types
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.trainer.models import BaseModel, resolve

TYPES = ("Q4_K_M", "Q6_K", "Q8_0")
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


class _Params(ctypes.Structure):
    """The head of `llama_model_quantize_params` (llama.h); the rest keeps its defaults."""

    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int32), ("rest", ctypes.c_ubyte * 248)]


def by_library(folder: Path, source: Path, out: Path, kind: str) -> None:
    """llama.cpp's own quantiser, out of the shared libraries in `folder`, in this process."""
    for part in ("libggml-base*", "libggml.*"):
        for library in sorted(folder.glob(part + "so*"))[:1]:
            ggml = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    if hasattr(ggml, "ggml_backend_load_all_from_path"):
        ggml.ggml_backend_load_all_from_path(str(folder).encode())
    llama = ctypes.CDLL(str(min(folder.glob("libllama.*so*"))))
    llama.llama_model_quantize_default_params.restype = _Params
    params = llama.llama_model_quantize_default_params()
    params.nthread, params.ftype = 1, FILE_TYPES[kind]
    llama.llama_model_quantize.restype = ctypes.c_uint32
    if llama.llama_model_quantize(str(source).encode(), str(out).encode(), ctypes.byref(params)):
        sys.exit(f"llama_model_quantize did not make {out.name}")


def reference(args: argparse.Namespace, source: Path, out: Path, kind: str) -> bool:
    """Write what llama.cpp makes of `source`; False where there is none of it here."""
    program = shutil.which("llama-quantize")
    if args.libllama is not None:
        # In a child: the library talks a lot and keeps its memory.
        call = [sys.executable, __file__, "--child", str(args.libllama), str(source), str(out), kind]
        subprocess.run(call, check=True, capture_output=True)
    elif program is not None:
        subprocess.run([program, str(source), str(out), kind, "1"], check=True, capture_output=True)
    return out.is_file()


def compared(ours: Path, theirs: Path) -> dict[str, int]:
    """Tensors in all, of another type, and with other bytes."""
    first, second = container.read(ours), container.read(theirs)
    other_type = [name for name, one in second.tensors.items() if first.tensors[name].type != one.type]
    other_bytes = [
        name for name in second.tensors if name not in other_type and _data(first, name) != _data(second, name)
    ]
    return {"tensors": len(second.tensors), "other_type": len(other_type), "other_bytes": len(other_bytes)}


def _data(file: Container, name: str) -> bytes:
    with file.path.open("rb") as source:
        source.seek(file.tensors[name].offset)
        return source.read(file.tensors[name].n_bytes)


def encoders(source: Path, theirs: Path) -> dict[str, dict[str, Any]]:
    """For each encoder of K-quants that is here: K-quant tensors that equal llama.cpp's, of how many, and seconds."""
    exact, wanted = container.read(source), container.read(theirs)
    kinds = {name: one.type for name, one in types(exact, "Q4_K_M").items() if one.type in (12, 13, 14)}
    found: dict[str, dict[str, Any]] = {}
    candidates: dict[str, Encoder | None] = {"libgguf": from_libgguf, "xllamacpp": in_xllamacpp()}
    for label, encoder in candidates.items():
        if encoder is None:
            continue
        began, equal = time.monotonic(), 0
        for name, kind in kinds.items():
            rows = read_rows(exact, exact.tensors[name])
            equal += b"".join(encoder(values, kind).tobytes() for _, values in rows) == _data(wanted, name)
        found[label] = {"equal": equal, "of": len(kinds), "seconds": round(time.monotonic() - began, 1)}
    return found


def costs(base: BaseModel, source: Path, files: dict[str, Path], scratch: Path) -> dict[str, dict[str, Any]]:
    """Each type's divergence from F16, size, and its answer to one question."""
    held = quant.measure(source, base, scratch)
    found = {}
    for kind, path in files.items():
        with LlamaCppTarget(context_tokens=512).serve_file(path) as server:
            answer = server.generate([QUESTION], max_tokens=24)[0].text
        one = held.of(path)
        found[kind] = {
            "bytes": path.stat().st_size,
            "mean_nats": round(one.mean_nats, 5),
            "high_nats": round(one.high_nats, 4),
            "same_top": round(one.same_top, 4),
            "positions": one.positions,
            "answer": answer,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="what strop models resolve takes")
    parser.add_argument("--models", type=Path, default=Path.home() / ".strop" / "models")
    parser.add_argument("--libllama", type=Path, help="a folder with llama.cpp's shared libraries")
    args = parser.parse_args()
    base = resolve(args.model, args.models)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        source = base_gguf(base, scratch)
        report: dict[str, Any] = {"seconds": {}, "against_llama_cpp": {}}
        files = {kind: scratch / f"{kind}.gguf" for kind in TYPES}
        for kind, path in files.items():
            began = time.monotonic()
            merge(source, None, path, quant=kind)  # type: ignore[arg-type]
            report["seconds"][kind] = round(time.monotonic() - began, 1)
            theirs = scratch / f"theirs-{kind}.gguf"
            if reference(args, source, theirs, kind):
                report["against_llama_cpp"][kind] = compared(path, theirs)
        if (scratch / "theirs-Q4_K_M.gguf").is_file():
            report["encoders"] = encoders(source, scratch / "theirs-Q4_K_M.gguf")
        report["costs"] = costs(base, source, files, scratch)
        sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        by_library(Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
    else:
        main()
