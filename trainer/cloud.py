"""What a cloud GPU would cost, and how fast known cards are by their data sheets.

Nothing here talks to anyone: the prices are a table with a date, to be held against today's before money is spent.
"""

from dataclasses import dataclass

from strop.trainer.machine import Gpu

# Hugging Face's documentation of Jobs; `list_jobs_hardware` of huggingface_hub says today's.
PRICES = "Hugging Face Jobs, prices of August 2026"
# What is left of a data sheet's dense figure in a LoRA run. Measured by PEFT's own benchmark (huggingface/peft, commit
# 51c2ff666): Llama-3.2-3B, 4.2 million tokens in 942 s on an L40S in bfloat16 are 57 of its 362 TFLOP/s.
SHARE_OF_SHEET = 0.16
_GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU to rent: memory as its maker states it, dense `bf16` and `fp32` products in TFLOP/s, dollars an hour.

    `bf16` is 0 where the card has none. It is the data sheet's figure with float32 sums.
    """

    flavour: str
    gpu: Gpu
    bf16: float
    fp32: float
    dollars_h: float

    @property
    def flops(self) -> float:
        """Products a second that a LoRA run gets out of it, in the precision that the plan would choose."""
        return (self.bf16 or self.fp32) * 1e12 * SHARE_OF_SHEET


CARDS = (
    Card("t4-small", Gpu("T4", 16 * _GB, (7, 5)), 0.0, 8.1, 0.40),
    Card("l4x1", Gpu("L4", 24 * _GB, (8, 9)), 121.0, 30.3, 0.80),
    Card("a10g-small", Gpu("A10G", 24 * _GB, (8, 6)), 70.0, 31.5, 1.00),
    Card("l40sx1", Gpu("L40S", 48 * _GB, (8, 9)), 362.0, 91.6, 1.80),
    Card("a100-large", Gpu("A100", 80 * _GB, (8, 0)), 312.0, 19.5, 2.50),
    Card("rtx-pro-6000", Gpu("RTX PRO 6000", 96 * _GB, (12, 0)), 504.0, 126.0, 2.75),
    Card("h200", Gpu("H200", 141 * _GB, (9, 0)), 989.0, 67.0, 5.00),
)
