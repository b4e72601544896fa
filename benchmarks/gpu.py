"""`learning.py` for Qwen3-4B and 1,000 rows on a GPU: the same sections, larger.

Run `.venv/bin/python benchmarks/gpu.py --data LEGALBENCH.jsonl` on a machine with a GPU that reaches the Hub, or with
--model FOLDER where the weights are on the disk. Nobody has run it yet. A child trains beside the process that asks:
two copies of the base in bfloat16 (16 GB) and the activations must fit. For 1,000 questions on either side the file
must hold 2,000; of a smaller one all are taken, and the table says how many. The base is the Qwen3-4B that answers
without a thinking block: the other writes one first, and the 32 tokens of an answer would end inside it.
"""

import sys

from learning import Sizes, main

MODEL = "hf:Qwen/Qwen3-4B-Instruct-2507@main"
SIZES = Sizes(legal_train=1000, legal_test=1000, suite_every=1, legal_target=None)
BATCH = 64

if __name__ == "__main__":
    sys.exit(main(__doc__, MODEL, SIZES, BATCH, "gpu.json"))
