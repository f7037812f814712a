"""By which names columns are recognised, in lower case; every command that reads files goes by these."""

from __future__ import annotations

import re

# How a column that refers to a passage or to a query is called, in qrels and elsewhere ...
TO_PASSAGE = (
    "docid", "doc_id", "doc-id", "docno", "document_id", "pid", "passage_id", "passage-id", "corpus_id",
    "corpus-id",
)  # fmt: skip
TO_QUERY = ("qid", "query_id", "topic_id", "topic-id", "question_id", "question-id", "query-id")
# ... and in its own file. In pairs, a bare `id` may be the pair's: one query may stand in several.
PASSAGE_IDS = ("_id", "id", *TO_PASSAGE)
QUERY_IDS = ("_id", "id", *TO_QUERY)
PAIR_QUERY_IDS = (*TO_QUERY, "anchor_id", "anchor-id")
PAIR_IDS = ("id", "_id")

PASSAGE_TEXTS = ("text", "contents", "content", "passage", "passage_text", "document", "body")
QUERY_TEXTS = ("text", "query", "question", "query_text", "anchor")
TITLES = ("title",)
ANCHORS = ("anchor", "query", "question", "query_text", "sentence1")

# Lists or objects, or both: FlagEmbedding, Tevatron and MIRACL, DPR, NeMo, DuReader.
_LISTED_POSITIVES = (
    "positive", "positives", "pos", "positive_passages", "positive_passage", "positive_ctxs", "pos_doc",
    "answer_paragraphs",
)  # fmt: skip
# Of columns, in files that hold triplets ...
TRIPLET_POSITIVES = (*_LISTED_POSITIVES, "answer", "response", "sentence2")
# ... and in such as hold pairs, where a column that is no anchor can hardly be anything else.
POSITIVES = (*TRIPLET_POSITIVES, "passage", "document", "doc", "context", "text")
NEGATIVES = (
    "negative", "negatives", "neg", "negative_passages", "negative_passage", "hard_negative", "hard_negatives",
    "negative_ctxs", "hard_negative_ctxs", "neg_doc", "sentence3",
)  # fmt: skip
NUMBERED_POSITIVE = re.compile(r"pos(?:itive)?s?_?(\d+)")
NUMBERED_NEGATIVE = re.compile(r"(?:hard_?)?neg(?:ative)?s?_?(\d+)")

GRADES = ("score", "grade", "relevance", "rel", "label")  # in qrels
# Beside pairs, in the order in which one of several counts; a teacher's scores are called so, too.
LABELS = (
    "label", "labels", "gold_label", "grade", "relevance", "rel", "relevance_label", "is_relevant", "relevant",
    "is_selected", "is_positive", "is_correct", "is_duplicate", "judgment", "judgement", "score", "relevance_score",
    "similarity", "similarity_score",
)  # fmt: skip
# In the object that a passage is: there, a score is what a retriever gave (DPR).
OBJECT_GRADES = tuple(name for name in LABELS if "score" not in name and "similarity" not in name)

# What a positive or a negative may be an object of.
OBJECT_TEXTS = (*PASSAGE_TEXTS, "paragraph_text", "paragraph")
OBJECT_IDS = (*PASSAGE_IDS, "psg_id", "paragraph_id")
