"""`HuggingFaceTuner`: load, prepare, fine-tune, ask, from a script that has the model in its hands.

    tuner = HuggingFaceTuner()
    model, tokenizer = tuner.load_model("smollm2")
    dataset = tuner.prepare_dataset("rows.jsonl")
    done = tuner.fine_tune(model, tokenizer, dataset, "adapter", epochs=3)
    handler = tuner.create_handler("adapter")
    handler.chat.completions.create(messages=[{"role": "user", "content": "What is a strop?"}])

Names, files, training and adapter folders are those of `strop train`; what differs is that training happens in this
process. Weights are safetensors, loaded from this disk; remote code is never run.
"""

import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, get_args

from pydantic import ValidationError

from strop.errors import UsageError
from strop.files import whole_folder, write_manifest
from strop.trainer import rowfile
from strop.trainer.attached import Attached, attached, bare, fresh_lora, remember
from strop.trainer.checkpoints import Counted
from strop.trainer.handler import Handler
from strop.trainer.models import BaseModel, resolve
from strop.trainer.origin import ADAPTER_CONFIG, adapter_base, asked, house_name, load
from strop.trainer.recipe import LoadIn, Precision, Recipe, Stage, for_methods
from strop.trainer.resume import Place
from strop.trainer.rowfile import RowFile
from strop.trainer.settings import TrainerSettings
from strop.trainer.supervisor import need_training_packages
from strop.trainer.train import OnProgress, Progress, load_base, run_stage
from strop.trainer.work import rendered, save

# The tuner's names of what the settings call otherwise.
_ARGUMENTS = {"rank": "lora_r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
_MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A finished adapter folder. `loss` is the mean over all steps in nats, `left_out` what was too long to train."""

    path: Path
    loss: float
    rows: int
    left_out: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "path": str(self.path)}


def _be_quiet() -> None:
    """No telemetry of the Hub's library, also where the script has imported it before."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if (constants := sys.modules.get("huggingface_hub.constants")) is not None:
        vars(constants)["HF_HUB_DISABLE_TELEMETRY"] = True


class HuggingFaceTuner:
    """Fine-tunes local models from a script. `models_dir` keeps what is fetched: by default, the home's models.

    All paths may be given as text. Raises the errors of `strop.errors`, each with the way out in its `hint`.
    """

    def __init__(self, models_dir: Path | str | None = None) -> None:
        _be_quiet()
        if models_dir is None:
            from strop.home import Home

            self.models_dir = Home.locate().models
        else:
            self.models_dir = Path(models_dir).expanduser().absolute()

    def load_model(self, name: str, *, load_in_4bit: bool = False, load_in_8bit: bool = False) -> tuple[Any, Any]:
        """(model, tokenizer) of a base, on the best device here, fetched once where it is not there yet.

        `name` is what `strop models` takes, or ORG/NAME of the Hugging Face Hub. 4 and 8 bits are bitsandbytes': they
        save memory in training, and the adapter fits the unquantised base all the same. Raises UnknownModel, Missing.
        """
        load_in = asked(load_in_4bit=load_in_4bit, load_in_8bit=load_in_8bit)
        return self._load(resolve(house_name(name), self.models_dir), load_in)

    def prepare_dataset(self, path: Path | str) -> RowFile:
        """The rows of a training file, checked. Raises BadTrainingFile naming the line and the column."""
        return rowfile.read(Path(path).expanduser())

    def fine_tune(
        self,
        model: Any,
        tokenizer: Any,
        dataset: RowFile | Path | str,
        output_dir: Path | str,
        epochs: float = 3.0,
        learning_rate: float = 2e-4,
        lora_r: int = 16,
        *,
        lora_alpha: int | None = None,
        lora_dropout: float = 0.0,
        batch_size: int = 8,
        max_length: int = 1024,
        seed: int = 17,
        method: Stage = "sft",
        on_progress: OnProgress = lambda at: None,
    ) -> FineTuned:
        """Train one fresh LoRA on `model` and write it to `output_dir`, a new or empty folder.

        The model answers with its new adapter afterwards; another call starts from the base again. Preferences train
        on their chosen answers unless `method` is "dpo". `lora_alpha` is twice the rank without a word. `max_length`
        is in tokens. Raises UsageError, BadTrainingFile and NotEnoughData before anything is trained, TrainingFailed.
        """
        need_training_packages()
        out = _new_folder(output_dir)
        rows = dataset if isinstance(dataset, RowFile) else self.prepare_dataset(dataset)
        known = self._known(model)
        alpha = 2 * lora_r if lora_alpha is None else lora_alpha
        wanted = {"rank": lora_r, "alpha": alpha, "dropout": lora_dropout, "batch_size": batch_size}
        wanted |= {"max_length": max_length, f"{method}_epochs": epochs, f"{method}_learning_rate": learning_rate}
        recipe = replace(_recipe(method, wanted, _precision(model), seed), load_in=known.load_in)
        stage = recipe.stages[0]
        data = rendered(rows, stage, tokenizer, recipe)
        with fresh_lora(bare(model), recipe) as lora, tempfile.TemporaryDirectory() as scratch:
            started = monotonic()
            with _silent(on_progress) as told:
                counted = Counted()
                place = Place(counted=counted)
                loss = run_stage(lora, tokenizer, data.train, stage, recipe, Path(scratch), told, place)
            done = FineTuned(out, loss, len(data.train), data.left_out, round(monotonic() - started, 3))
            facts = _facts(known, recipe, done, counted.tokens)
            save(lora, out, facts)
        remember(lora.get_base_model(), Attached(known.base, known.load_in, lora, facts))
        lora.eval()
        return done

    def save_model(self, model: Any, tokenizer: Any, output_dir: Path | str, *, merge: bool = False) -> Path:
        """Write what `fine_tune` made of `model` to a new folder: the adapter, or the whole model where `merge` is set.

        A merged folder stands by itself: safetensors in the base's own type, with its tokenizer. Raises UsageError
        for an untouched base, and for merging into 4 or 8 bits, which would round twice.
        """
        out = _new_folder(output_dir)
        known = self._known(model)
        if known.adapter is None:
            raise UsageError("this model was not fine-tuned: there is nothing to save", hint="fine_tune(model, ...)")
        if not merge:
            save(known.adapter, out, dict(known.facts or {"kind": "adapter", "base": known.base.facts()}))
            return out
        if known.load_in != "16bit":
            raise UsageError(
                f"an adapter is not merged into {known.load_in} weights",
                hint="load_fine_tuned_model(ADAPTER) without load_in_4bit and load_in_8bit, then save_model",
            )
        _save_merged(known, tokenizer, out)
        return out

    def load_fine_tuned_model(
        self, directory: Path | str, *, load_in_4bit: bool = False, load_in_8bit: bool = False
    ) -> tuple[Any, Any]:
        """(model, tokenizer) of an adapter folder on its base, or of a merged folder, ready to answer.

        Raises UnknownModel where the folder is neither, DamagedFolder where it is not what its manifest says, and
        TrainerError where the base is not the one that it was trained on.
        """
        folder = Path(directory).expanduser().absolute()
        load_in = asked(load_in_4bit=load_in_4bit, load_in_8bit=load_in_8bit)
        if not (folder / ADAPTER_CONFIG).is_file():
            model, tokenizer = self._load(resolve(str(folder), self.models_dir), load_in)
            return model.eval(), tokenizer
        base, facts = adapter_base(folder, self.models_dir)
        model, tokenizer = self._load(base, load_in)
        from peft import PeftModel

        lora = PeftModel.from_pretrained(model, str(folder), autocast_adapter_dtype=False)
        remember(model, Attached(base, load_in, lora, facts))
        return lora.eval(), tokenizer

    def create_handler(
        self, directory: Path | str, *, load_in_4bit: bool = False, load_in_8bit: bool = False
    ) -> Handler:
        """The model in `directory` behind the calls of a cloud client (`strop.trainer.handler`)."""
        model, tokenizer = self.load_fine_tuned_model(directory, load_in_4bit=load_in_4bit, load_in_8bit=load_in_8bit)
        return Handler(model, tokenizer, Path(directory).expanduser().absolute().name)

    def _load(self, base: BaseModel, load_in: LoadIn) -> tuple[Any, Any]:
        model, tokenizer = load(base, load_in)
        remember(model, Attached(base, load_in))
        return model, tokenizer

    def _known(self, model: Any) -> Attached:
        """What is known of a model; one that transformers loaded is known by the folder that it came from."""
        if (known := attached(model)) is not None:
            return known
        name = str(getattr(getattr(model, "config", None), "_name_or_path", ""))
        if not name or not Path(name).is_dir():
            raise UsageError("it is not known which base this model is", hint="load it with load_model(NAME)")
        four, eight = (bool(getattr(model, f"is_loaded_in_{bits}", False)) for bits in ("4bit", "8bit"))
        return Attached(resolve(name, self.models_dir), asked(load_in_4bit=four, load_in_8bit=eight))


@contextmanager
def _silent(on_progress: OnProgress) -> Iterator[OnProgress]:
    """Keep what the trainer prints off the script's stdout; what `on_progress` prints still goes there."""
    out = sys.stdout

    def told(at: Progress) -> None:
        with redirect_stdout(out):
            on_progress(at)

    with redirect_stdout(io.StringIO()):
        yield told


def _precision(model: Any) -> Precision:
    return "bf16" if str(model.dtype) == "torch.bfloat16" else "fp32"


def _new_folder(path: Path | str) -> Path:
    out = Path(path).expanduser().absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists already", hint="name a new folder")
    return out


def _recipe(method: Stage, wanted: Mapping[str, Any], precision: Precision, seed: int) -> Recipe:
    """Raises UsageError naming the argument of `fine_tune` that cannot be."""
    if method not in get_args(Stage):
        raise UsageError(f"method cannot be {method!r}", hint=f"one of {', '.join(get_args(Stage))}")
    if not 0 <= seed <= _MAX_SEED:
        raise UsageError(f"seed cannot be {seed}", hint=f"from 0 to {_MAX_SEED}")
    try:
        return for_methods((method,), TrainerSettings.model_validate(wanted), precision, seed)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).removeprefix(f"{method}_")
        said = f"{_ARGUMENTS.get(name, name)} cannot be {first['input']}: {first['msg']}"
        raise UsageError(said, hint="help(HuggingFaceTuner.fine_tune)") from None


def _facts(known: Attached, recipe: Recipe, done: FineTuned, tokens: int) -> dict[str, Any]:
    """The manifest of an adapter, as `strop.trainer.work` writes it."""
    import torch

    method = recipe.stages[0].method
    return {
        "kind": "adapter",
        "base": known.base.facts(),
        "dataset_sha256": None,
        "recipe": recipe.as_dict(),
        "seed": recipe.seed,
        "threads": torch.get_num_threads(),
        "rows": {method: done.rows},
        "left_out_too_long": {method: done.left_out},
        "tokens": tokens,
        "train_s": done.seconds,
        "loss": {method: done.loss},
        "held_out": None,
    }


def _save_merged(known: Attached, tokenizer: Any, out: Path) -> None:
    """Merge on a second copy of the base, in float32: the model in the script's hands stays as it is."""
    from peft import PeftModel
    from transformers import AutoConfig

    with tempfile.TemporaryDirectory() as scratch:
        adapter = Path(scratch) / "adapter"
        save(known.adapter, adapter, {"kind": "adapter", "base": known.base.facts()})
        model, _ = load_base(known.base.folder, "fp32")
        merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    stored = AutoConfig.from_pretrained(known.base.folder, local_files_only=True, trust_remote_code=False).dtype
    with whole_folder(out) as fresh:
        merged.to(stored or merged.dtype).save_pretrained(fresh, safe_serialization=True)
        tokenizer.save_pretrained(fresh)
        write_manifest(fresh, {**(known.facts or {}), "kind": "merged", "base": known.base.facts()})
