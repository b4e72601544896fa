"""KTO and hindsight on the tiny base: what they teach, what they refuse, and that order of rows is no matter."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from strop.errors import BadTrainingFile, NotEnoughData
from strop.trainer.methods.hindsight import _Collator, divergence
from strop.trainer.methods.kto import interleaved
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import HintedExample, RatedExample, Renderer
from strop.trainer.train import Progress, add_lora, load_base, run_stage
from strop.trainer.work import work

from .conftest import TRAINS, MakeJob, WriteRows, silent

pytestmark = TRAINS
THINGS = ("a strop", "a razor", "flour", "an egg", "Paris", "milk", "a fox", "a dog", "bread", "a list")
GOOD, BAD = "It is the capital of France.", "Well, the dog does not mind."
RATED = [
    {"prompt": f"What is {thing}?", "completion": answer, "label": answer == GOOD}
    for thing in THINGS
    for answer in (GOOD, BAD)
]
HINTED = [{"prompt": f"What is {thing}?", "completion": BAD, "feedback": "Too long!"} for thing in THINGS]


def recipe_of(method: Any, **fields: Any) -> Recipe:
    stage = StageRecipe(method, 4.0, 5e-3, 4, **fields)
    return Recipe((stage,), rank=4, alpha=8, max_length=256, precision="fp32")


def logprob(model: Any, render: Renderer, question: str, answer: str) -> float:
    """The log-probability that the model gives to an answer."""
    example = render.example([{"role": "user", "content": question}], answer)
    ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(example.prompt_ids) - 1 : -1].log_softmax(-1)
    return float(logits.gather(1, torch.tensor(example.completion_ids)[:, None]).sum())


@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
def test_thumbs_alone_move_liked_and_disliked_answers_apart(tiny_base: Path, tmp_path: Path, loss: str) -> None:
    recipe = recipe_of("kto", kto_loss=loss)
    base, tokenizer = load_base(tiny_base, "fp32")
    render = Renderer(tokenizer)
    model = add_lora(base, recipe)
    rows = []
    for row in RATED:
        one = render.example([{"role": "user", "content": row["prompt"]}], str(row["completion"]))
        rows.append(RatedExample(one.prompt_ids, one.completion_ids, bool(row["label"])))
    before = [logprob(model.eval(), render, "What is bread?", text) for text in (GOOD, BAD)]
    run_stage(model, tokenizer, rows, recipe.stages[0], recipe, tmp_path, silent)
    after = [logprob(model.eval(), render, "What is bread?", text) for text in (GOOD, BAD)]
    assert (after[0] - after[1]) - (before[0] - before[1]) > 1.0


def test_the_order_of_the_rows_is_no_matter(write_rows: WriteRows, make_job: MakeJob) -> None:
    losses = []
    for number, rows in enumerate((RATED, RATED[::-1])):
        file = write_rows(rows, f"{number}.jsonl")
        job = make_job({"kto": file}, out=f"out{number}")
        losses.append(work(job, silent)["loss"])
    assert losses[0] == losses[1]


def test_every_batch_holds_both_labels_in_the_proportion_of_all() -> None:
    rows = [RatedExample((number,), (number,), number % 4 == 0) for number in range(40)]
    ordered = interleaved(rows, 17)
    assert sorted(ordered, key=lambda row: row.prompt_ids) == rows
    assert [sum(row.label for row in ordered[start : start + 8]) for start in range(0, 40, 8)] == [2] * 5
    assert ordered == interleaved(rows[::-1], 17) != interleaved(rows, 18)


@pytest.mark.parametrize("label", [True, False])
def test_ratings_that_all_say_the_same_are_refused(write_rows: WriteRows, make_job: MakeJob, label: bool) -> None:
    rows = [{**row, "label": label} for row in RATED]
    with pytest.raises(NotEnoughData, match="all 20 ratings say the same"):
        work(make_job({"kto": write_rows(rows)}), silent)


def hinted(tokenizer: Any, question: str, answer: str, said: str) -> HintedExample:
    render = Renderer(tokenizer)
    asked = [{"role": "user", "content": question}]
    example = render.example(asked, answer)
    return HintedExample(example.prompt_ids, render.hinted(asked, said), example.completion_ids)


def test_the_student_moves_towards_who_has_read_the_follow_up(tiny_base: Path, tmp_path: Path) -> None:
    recipe = recipe_of("hindsight")
    base, tokenizer = load_base(tiny_base, "fp32")
    rows = [hinted(tokenizer, row["prompt"], row["completion"], row["feedback"]) for row in HINTED]
    model = add_lora(base, recipe)
    seen: list[Progress] = []
    run_stage(model, tokenizer, rows, recipe.stages[0], recipe, tmp_path, seen.append)
    losses = [at.loss for at in seen]
    assert sum(losses[-3:]) < 0.75 * sum(losses[:3])
    assert {at.stage for at in seen} == {"hindsight"}


def test_the_teacher_learns_nothing_and_padding_counts_for_nothing(tiny_base: Path) -> None:
    base, tokenizer = load_base(tiny_base, "fp32")
    model = add_lora(base, recipe_of("hindsight"))
    texts = [("What is bread?", "Flour, water."), ("And what is a list of many things?", GOOD + " " + BAD)]
    rows = [hinted(tokenizer, question, answer, "Shorter!") for question, answer in texts]
    fed = [
        {
            "input_ids": [*row.prompt_ids, *row.completion_ids],
            "labels": [*[-100] * len(row.prompt_ids), *row.completion_ids],
            "hinted_ids": [*row.hinted_ids, *row.completion_ids],
        }
        for row in rows
    ]
    collator = _Collator(tokenizer.pad_token_id)
    model.eval()
    with torch.no_grad():
        together = float(divergence(model, collator(fed)))
        alone = [float(divergence(model, collator([one]))) for one in fed]
    counts = [len(row.completion_ids) for row in rows]
    assert together == pytest.approx(sum(a * n for a, n in zip(alone, counts, strict=True)) / sum(counts), rel=1e-4)
    same = HintedExample(rows[0].prompt_ids, rows[0].prompt_ids, rows[0].completion_ids)
    unchanged = {**fed[0], "hinted_ids": [*same.hinted_ids, *same.completion_ids]}
    assert float(divergence(model, collator([unchanged])).detach()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "rows", "said"),
    [
        ("kto", HINTED, "kto needs the columns prompt, completion and label"),
        ("hindsight", RATED, "hindsight needs the columns prompt, completion and feedback"),
        ("dpo", RATED, "dpo needs the columns prompt, chosen and rejected"),
        ("sft", HINTED, "sft needs answers to copy; this file holds hindsight rows"),
    ],
)
def test_rows_of_another_kind_are_refused_with_the_method_for_them(
    write_rows: WriteRows, make_job: MakeJob, method: str, rows: Any, said: str
) -> None:
    with pytest.raises(BadTrainingFile, match=said) as error:
        work(make_job({method: write_rows(rows)}), silent)
    assert "strop train" in str(error.value.hint)


def test_sft_copies_the_liked_answers_of_a_rated_file(write_rows: WriteRows, make_job: MakeJob) -> None:
    manifest = work(make_job({"sft": write_rows(RATED)}), silent)
    assert manifest["rows"] == {"sft": 10}


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
# bitsandbytes multiplies 8-bit matrices in float16.
@pytest.mark.filterwarnings("ignore:MatMul8bitLt:UserWarning")
def test_a_base_in_fewer_bits_learns_what_the_whole_one_learns(
    write_rows: WriteRows, make_job: MakeJob, bits: str
) -> None:
    rows = write_rows([{"prompt": f"What is {thing}?", "completion": GOOD} for thing in THINGS])
    losses = []
    for load_in in ("16bit", bits):
        job = make_job({"sft": rows}, load_in, load_in=load_in, held_share=0.2, epochs=6.0, learning_rate=1e-2)
        manifest = work(job, silent)
        assert manifest["recipe"]["load_in"] == load_in
        losses.append(manifest["held_out"])
    assert losses[1]["loss_after"] < losses[1]["loss_before"] - 1.0
    assert losses[1]["loss_after"] == pytest.approx(losses[0]["loss_after"], rel=0.1)


PAIRED = [{"prompt": f"What is {thing}?", "chosen": GOOD, "rejected": BAD} for thing in THINGS[:8]]


@pytest.mark.parametrize(("method", "rows"), [("sft", RATED[:16]), ("dpo", PAIRED)])
@pytest.mark.parametrize("changed", [{"accumulation": 4}, {"checkpointing": True}])
def test_a_step_in_parts_or_with_less_kept_is_the_same_step(
    write_rows: WriteRows, make_job: MakeJob, method: str, rows: Any, changed: dict[str, Any]
) -> None:
    file = write_rows(rows)
    whole, other = (
        work(make_job({method: file}, f"out{number}", **fields), silent) for number, fields in enumerate(({}, changed))
    )
    losses, parts = (dict(map(tuple, made["curve"][method])) for made in (whole, other))
    assert parts == pytest.approx(losses, abs=2e-4)
    ones, others = (load_file(Path(make_job({}, f"out{n}").out) / "adapter_model.safetensors") for n in (0, 1))
    for name, value in ones.items():
        torch.testing.assert_close(others[name], value, atol=2e-4, rtol=2e-3)


def test_the_manifest_holds_the_curve_and_the_peak_of_memory(write_rows: WriteRows, make_job: MakeJob) -> None:
    seen: list[Progress] = []
    manifest = work(make_job({"kto": write_rows(RATED)}), seen.append)
    assert manifest["curve"] == {"kto": [[at.step, at.loss] for at in seen]}
    assert manifest["peak_bytes"] > 100 << 20


# Answers of unequal length and a last step that is not full: a mean over each part would be another one.
UNEVEN = [
    {
        "prompt": f"What is {thing}?",
        "chosen": " ".join([GOOD] * (1 + number % 4)),
        "rejected": " ".join([BAD] * (1 + number % 3)),
        "completion": " ".join([GOOD if number % 2 else BAD] * (1 + number % 4)),
        "label": bool(number % 2),
        "feedback": "Shorter, please.",
    }
    for number, thing in enumerate((*THINGS, "rain", "a quay", "tin"))
]
_COLUMNS = {
    "sft": ("prompt", "completion"),
    "dpo": ("prompt", "chosen", "rejected"),
    "kto": ("prompt", "completion", "label"),
    "hindsight": ("prompt", "completion", "feedback"),
}


@pytest.mark.parametrize("method", list(_COLUMNS))
def test_parts_of_a_step_count_by_what_is_in_them(write_rows: WriteRows, make_job: MakeJob, method: str) -> None:
    file = write_rows([{name: row[name] for name in _COLUMNS[method]} for row in UNEVEN])
    jobs = [make_job({method: file}, f"in{parts}", accumulation=parts, epochs=2.0) for parts in (1, 2, 4)]
    whole, *parts = (work(job, silent) for job in jobs)
    for job, made in zip(jobs[1:], parts, strict=True):
        assert dict(map(tuple, made["curve"][method])) == pytest.approx(
            dict(map(tuple, whole["curve"][method])), abs=3e-4
        )
        ones, others = (load_file(Path(one.out) / "adapter_model.safetensors") for one in (jobs[0], job))
        for name, value in ones.items():
            torch.testing.assert_close(others[name], value, atol=3e-4, rtol=3e-3)


def test_hindsight_needs_what_was_asked(write_rows: WriteRows, make_job: MakeJob) -> None:
    asked = {"prompt": "What is rain?", "completion": GOOD, "feedback": "Shorter."}
    unasked = {**asked, "prompt": [{"role": "tool", "content": "21"}]}
    with pytest.raises(BadTrainingFile, match="^line 2: "):
        work(make_job({"hindsight": write_rows([asked, unasked])}), silent)
