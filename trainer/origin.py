"""Where a model in memory comes from: the base that a name means to a script, or that an adapter was trained on.

Weights are safetensors, loaded from this disk; remote code is never run.
"""

import json
import re
from pathlib import Path
from typing import Any

from strop.errors import TrainerError, UsageError
from strop.files import MANIFEST, verify_manifest
from strop.trainer.models import BaseModel, resolve
from strop.trainer.plan import choose_precision
from strop.trainer.recipe import LoadIn
from strop.trainer.supervisor import need_training_packages
from strop.trainer.train import load_base

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ON_THE_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


def house_name(name: str) -> str:
    """`name` as the house spells it: a bare ORG/NAME that is no folder here means the Hugging Face Hub."""
    if _ON_THE_HUB.fullmatch(name) and not Path(name).expanduser().is_dir():
        return f"hf:{name}"
    return name


def adapter_base(folder: Path, models_dir: Path) -> tuple[BaseModel, dict[str, Any] | None]:
    """The base that the adapter in `folder` was trained on, and the facts of its manifest where it has one.

    Raises UnknownModel, DamagedFolder, and TrainerError where the base is another one by now.
    """
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise TrainerError(
            f"{folder} has no {ADAPTER_WEIGHTS}; pickled weights are never opened", hint="save it with safetensors"
        )
    if not (folder / MANIFEST).is_file():
        return resolve(house_name(_named_base(folder)), models_dir), None
    manifest = verify_manifest(folder)
    if manifest.get("kind") != "adapter":
        raise TrainerError(f"{folder} is a {manifest.get('kind')} folder, not an adapter's", hint="strop models list")
    wanted = manifest["base"]
    base = resolve(str(wanted["ref"]), models_dir)
    if base.facts() | {"ref": ""} != wanted | {"ref": ""}:
        raise TrainerError(
            f"{wanted['ref']} is not what this adapter was trained on: its weights or its template changed",
            hint="train it again on what is there now",
        )
    return base, {name: value for name, value in manifest.items() if name != "files"}


def _named_base(folder: Path) -> str:
    try:
        name = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise TrainerError(f"{folder / ADAPTER_CONFIG} cannot be read: {error}", hint="save it again") from error
    return str(name or "")


def load(base: BaseModel, load_in: LoadIn) -> tuple[Any, Any]:
    """(model, tokenizer) of a base on the best device here, in the precision that is faster. Raises Missing."""
    need_training_packages()
    precision, _ = choose_precision("auto")
    return load_base(base.folder, precision, load_in)


def asked(*, load_in_4bit: bool, load_in_8bit: bool) -> LoadIn:
    """Which of the two was asked for, or neither. Raises UsageError for both."""
    if load_in_4bit and load_in_8bit:
        raise UsageError("a model is loaded in 4 or in 8 bits, not in both", hint="leave one of them out")
    return "4bit" if load_in_4bit else "8bit" if load_in_8bit else "16bit"
