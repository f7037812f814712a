"""From a finished run to a trained bi-encoder, evaluated before and after on questions that it has not seen.

    python examples/train_bi_encoder.py mined --evaluate my_beir --split test --output trained

RUN is an --output of `hardneg mine`; --evaluate a folder in the BEIR layout. Needs `pip install 'hardneg[train]'`.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from datasets import load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss


def evaluator(folder: Path, split: str) -> InformationRetrievalEvaluator:
    """Return what evaluates a model on a split's questions, against the whole corpus."""

    def rows(name: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]

    relevant: dict[str, set[str]] = {}
    with (folder / "qrels" / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if float(row["score"]) > 0:
                relevant.setdefault(row["query-id"], set()).add(row["corpus-id"])
    return InformationRetrievalEvaluator(
        queries={row["_id"]: row["text"] for row in rows("queries.jsonl") if row["_id"] in relevant},
        # Passages as the miner composes them: the title, a space, the text.
        corpus={row["_id"]: f"{row.get('title') or ''} {row['text']}".strip() for row in rows("corpus.jsonl")},
        relevant_docs=relevant,
        name=split,
        write_csv=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the --output of `hardneg mine`")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="what --bi-encoder named")
    parser.add_argument("--evaluate", type=Path, required=True, help="a folder in the BEIR layout")
    parser.add_argument("--split", default="test")
    parser.add_argument("--output", default="trained")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()

    model = SentenceTransformer(args.model)
    judge = evaluator(args.evaluate, args.split)
    metric = f"{args.split}_cosine_ndcg@10"
    before = judge(model)[metric]
    arguments = SentenceTransformerTrainingArguments(
        output_dir=f"{args.output}.checkpoints",
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.batch_size,
        learning_rate=2e-5,
        warmup_steps=0.1,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        save_strategy="no",
        report_to="none",
    )
    train_dataset = load_dataset(args.run, "triplets", split="train")
    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=train_dataset, loss=loss).train()
    model.save_pretrained(args.output)
    print(f"nDCG@10 of {args.split}: {before:.4f} before, {judge(model)[metric]:.4f} after; {args.output}")


if __name__ == "__main__":
    main()
