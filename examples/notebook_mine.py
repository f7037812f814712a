"""Mining with live objects, as in a notebook: a dataset and two models in, triplets out."""

from datasets import load_dataset
from sentence_transformers import CrossEncoder, SentenceTransformer

import hardneg

pairs = load_dataset("sentence-transformers/natural-questions", split="train[:2000]")
run = hardneg.mine(
    pairs=pairs.rename_columns({"query": "anchor", "answer": "positive"}),
    bi_encoder=SentenceTransformer("sentence-transformers/all-MiniLM-L6-v2"),
    cross_encoder=CrossEncoder("BAAI/bge-reranker-v2-m3"),
    target_false_negative_rate=0.05,
)
print(run.triplets()[0])
print(run.candidates(verdict="suspected_positive", texts=True).slice(0, 10).to_pandas())
