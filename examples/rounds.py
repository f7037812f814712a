"""Mine, train, mine again with the student: three rounds, each paying only for what changed.

    python examples/rounds.py my_beir --split train --store store --output student

Between two rounds only the student changes: its embeddings are computed again, and most of the cross-encoder's scores
are found. Needs `pip install 'hardneg[train]'`.
"""

from __future__ import annotations

import argparse

from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

import hardneg


def train(model: SentenceTransformer, snapshot: hardneg.Snapshot, args: argparse.Namespace) -> None:
    """Train a model for an epoch of a snapshot's triplets."""
    arguments = SentenceTransformerTrainingArguments(
        output_dir=f"{args.output}.checkpoints",
        num_train_epochs=1,
        per_device_train_batch_size=args.batch_size,
        learning_rate=2e-5,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=snapshot.triplets(), loss=loss).train()


def share(found: float | None) -> str:
    return "unknown" if found is None else f"{found:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="a folder in the BEIR layout")
    parser.add_argument("--split", default="train")
    parser.add_argument("--store", default="store")
    parser.add_argument("--output", default="student")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="the student")
    parser.add_argument("--cross-encoder", default="bundled", help="the teacher")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()

    model = SentenceTransformer(args.model)
    for number in range(1, args.rounds + 1):
        # The threshold was made for the student as it was; it is made anew, and the drop is the student's progress.
        snapshot = hardneg.refresh(
            store=args.store,
            input=args.input,
            split=args.split,
            bi_encoder=model,
            cross_encoder=args.cross_encoder,
            recalibrate=number > 1,
            gates={"max-drop": "off"},
            progress=False,
        )
        told = snapshot.difference
        found, figures = told["store"], {name: now for name, (_, now) in told["figures"].items()}
        print(
            f"round {number}: {figures['triplets']:,} triplets, hardness {figures['hardness']:.3f}; in the store were "
            f"{share(found['pairs'])} of the logits, {share(found['passages'])} of the passages' embeddings"
        )
        train(model, snapshot, args)
    model.save_pretrained(args.output)
    print(f"the student after {args.rounds} rounds: {args.output}")


if __name__ == "__main__":
    main()
