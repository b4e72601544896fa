"""TRL's trainers, made to stop and go on: equal runs take equal steps, however often they were cut.

Ours are the order of the rows (a function of the seed, the epoch and the lengths alone), the count of what was read,
and what a checkpoint holds (`checkpoints`). The places of transformers' trainer that are overridden here are those
through which its own checkpoints pass; those are pickled, and would round the optimizer's float32 state.
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from strop.trainer.checkpoints import Checkpoint, Checkpoints, Counted, Record
from strop.trainer.optimizer import warm_cosine

# The columns of our rows that hold token ids. A trainer that makes its own rows of others keeps its own order.
_IDS = ("input_ids", "prompt_ids", "completion_ids", "chosen_ids", "rejected_ids")
# What a batch of ours says of padding, by the trainer that made it: a token that is read is counted once a pass.
_MASKS = frozenset({"attention_mask", "hinted_mask", "KL_attention_mask"})
# Where rows stand behind one another (`attention`), there is no padding: all that is read has a position.
_JOINED = "cu_seq_lens_q"


class Place:
    """Where one stage of a run stands among the others: what it starts from, and where its checkpoints go."""

    def __init__(
        self,
        checkpoints: Checkpoints | None = None,
        stage: int = 0,
        counted: Counted | None = None,
        start: Mapping[str, Any] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """`start` are the adapter's weights at the stage's beginning; `checkpoint` is one of this stage, or None.

        Without anything, the stage is a run of its own and nothing of it is kept.
        """
        self._checkpoints = checkpoints or Checkpoints(None)
        self._stage, self._counted, self._start = stage, counted or Counted(), start or {}
        self.checkpoint = checkpoint

    @property
    def due(self) -> bool:
        """Whether a checkpoint is wanted now."""
        return self._checkpoints.due

    @property
    def tokens(self) -> int:
        """The run's tokens so far."""
        return self._counted.tokens

    @property
    def records(self) -> tuple[Record, ...]:
        """What the run's steps said so far, those before a pause included."""
        return tuple(self._counted.records)

    def count(self, tokens: int) -> None:
        """Note tokens that were read."""
        self._counted.tokens += tokens

    def save(self, step: int, tensors: Mapping[str, Any], trainer_state: str, scheduler: Mapping[str, Any]) -> None:
        """Keep the stage as it stands after `step` steps."""
        start = {f"start/{name}": value for name, value in self._start.items()}
        self._checkpoints.save(self._stage, step, self._counted, {**start, **tensors}, trainer_state, scheduler)


@cache
def resumable(trainer_class: Any) -> Any:
    """`trainer_class`, a trainer of TRL's, with our order of rows, our count of tokens and our checkpoints."""

    class Resumable(trainer_class):
        """Set after it is made: `place`, and `learned`, the parameters that are trained, by name."""

        place: Place
        learned: Mapping[str, Any]

        @property
        def tokens(self) -> int:
            return self.place.tokens

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            strategy, data = self.args.train_sampling_strategy, self.train_dataset
            columns = [data[name] for name in _IDS if name in data.column_names]
            if strategy == "sequential" or not columns:
                return super()._get_train_sampler(train_dataset)
            lengths = [sum(map(len, row)) for row in zip(*columns, strict=True)]
            return _order(self, lengths, together=strategy == "group_by_length")

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = warm_cosine(
                optimizer or self.optimizer, num_training_steps, float(self.args.warmup_steps)
            )
            return self.lr_scheduler

        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(model, inputs, *args, **kwargs)
            if isinstance(inputs, Mapping):
                self.place.count(_read(inputs))
            return loss

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            tensors = {f"adapter/{name}": parameter for name, parameter in self.learned.items()}
            states = self.optimizer.state
            for name, parameter in self.learned.items():
                tensors |= {f"optimizer/{name}/{key}": value for key, value in states[parameter].items()}
            tensors |= _generators()
            kept = self.state.log_history
            self.state.log_history = []  # every step of it is in the run's own records
            state = _as_json(self.state)
            self.state.log_history = kept
            self.place.save(self.state.global_step, tensors, state, self.lr_scheduler.state_dict())

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            put(self.learned, self._found().part("adapter/"))

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            if checkpoint is None:
                return
            found = self._found()
            for path, value in found.part("optimizer/").items():
                name, _, key = path.rpartition("/")
                parameter = self.learned[name]
                self.optimizer.state[parameter][key] = value if key == "step" else value.to(parameter.device)
            self.lr_scheduler.load_state_dict(dict(found.scheduler or {}))
            for group, rate in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr(), strict=True):
                group["lr"] = rate

        def _load_rng_state(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                _set_generators(self._found().part("generator/"))

        def _found(self) -> Checkpoint:
            if self.place.checkpoint is None:
                raise RuntimeError("a run without a checkpoint cannot go on from one")
            return self.place.checkpoint

    return Resumable


def _read(batch: Mapping[str, Any]) -> int:
    """How many tokens a batch reads."""
    if _JOINED in batch:
        return int(batch["input_ids"].numel())
    return sum(int(mask.sum()) for name, mask in batch.items() if name in _MASKS)


def put(learned: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Set the parameters in place to `values`, which has the same names. Raises KeyError where one is missing."""
    import torch

    with torch.no_grad():
        for name, parameter in learned.items():
            parameter.copy_(values[name])


def _order(trainer: Any, lengths: Sequence[int], *, together: bool) -> Any:
    import torch
    from torch.utils.data import Sampler
    from transformers.trainer_pt_utils import get_length_grouped_indices

    batch = trainer.args.train_batch_size * trainer.args.gradient_accumulation_steps
    steps = math.ceil(len(lengths) / batch)

    class Order(Sampler[int]):
        """An order that follows from the seed and the epoch, so that it is the same after a pause."""

        def __len__(self) -> int:
            return len(lengths)

        def __iter__(self) -> Iterator[int]:
            generator = torch.Generator().manual_seed(1000 * trainer.args.seed + trainer.state.global_step // steps)
            if together:
                # The library's own grouping sorts within some batches at a time, so that few rows stay mixed.
                return iter(get_length_grouped_indices(list(lengths), batch, generator=generator))
            return iter(torch.randperm(len(lengths), generator=generator).tolist())

    return Order()


def _generators() -> dict[str, Any]:
    import torch

    found = {"generator/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        found["generator/cuda"] = torch.cuda.get_rng_state()
    return found


def _set_generators(tensors: Mapping[str, Any]) -> None:
    import torch

    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def _as_json(state: Any) -> str:
    """What `TrainerState.save_to_json` would write."""
    return json.dumps(dataclasses.asdict(state), sort_keys=True)
