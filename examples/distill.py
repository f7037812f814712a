"""Distil the cross-encoder's scores of a finished run into a bi-encoder, with MarginMSELoss.

    python examples/distill.py mined --output distilled

The student learns by how much the teacher prefers the positive to each negative. Needs `pip install 'hardneg[train]'`.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile

from datasets import load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MarginMSELoss
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor

SCALE = 20.0  # logits differ by ten and more, cosines by less than 2: a student of plain cosines could never follow


def scaled_cosine(queries: Tensor, passages: Tensor) -> Tensor:
    """Return SCALE times the cosine of each pair, shape (n,)."""
    return SCALE * pairwise_cos_sim(queries, passages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the --output of `hardneg mine`")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="the student")
    parser.add_argument("--output", default="distilled")
    parser.add_argument("--negatives", type=int, default=1, help="in a row; queries with fewer are left out")
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        tuples = f"{scratch}/tuples"
        form = ["--format", "n-tuple", "--negatives", str(args.negatives), "--short", "drop", "--scores"]
        subprocess.run(["hardneg", "export", args.run, *form, "--output", tuples], check=True)
        # anchor, positive, negative_1, ..., and scores: the teacher's raw logits of the positive and the negatives.
        train_dataset = load_dataset(tuples, split="train")
        model = SentenceTransformer(args.model)
        arguments = SentenceTransformerTrainingArguments(
            output_dir=f"{scratch}/checkpoints",
            per_device_train_batch_size=args.batch_size,
            learning_rate=2e-5,
            num_train_epochs=1,
            save_strategy="no",
            report_to="none",
        )
        loss = MarginMSELoss(model, similarity_fct=scaled_cosine)
        SentenceTransformerTrainer(model=model, args=arguments, train_dataset=train_dataset, loss=loss).train()
        model.save_pretrained(args.output)
        print(f"{args.output}: learned from {len(train_dataset):,} rows")


if __name__ == "__main__":
    main()
