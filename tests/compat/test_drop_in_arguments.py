"""Arguments that would be mined wrongly without a word: a corpus that is no list of texts, names that clash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from drop_in_cases import CORPUS, DATA, DEFAULTS, mine, peer, quietly

BEIR = {f"doc{place}": {"title": "", "text": text} for place, text in enumerate(CORPUS)}


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        (BEIR, "got a dict: give its texts alone"),
        (dict(zip(map(str, range(20)), CORPUS, strict=True)), "got a dict: give its texts alone"),
        ("d0 d1 d2", "must be a list of texts, got a str"),
        (b"d0", "must be a list of texts, got a bytes"),
        (20, "must be a list of texts, got a int"),
        ([*CORPUS, None], "its entry 20 is a NoneType"),
        ([{"text": text} for text in CORPUS], "its entry 0 is a dict"),
        (Dataset.from_dict({"text": CORPUS}), "its entry 0 is a dict"),
        ([CORPUS], "its entry 0 is a list"),
    ],
)
def test_a_corpus_that_is_no_list_of_texts(corpus: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"corpus must be a list of texts.*{message.split('texts, ')[-1]}"):
        mine(corpus=corpus)


@pytest.mark.parametrize("made", [tuple, np.array, iter, lambda texts: Dataset.from_dict({"text": texts})["text"]])
def test_every_collection_of_texts_is_a_corpus(made: Any) -> None:
    assert mine(corpus=made(CORPUS)).to_list() == mine().to_list()


FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")
ADDED = {
    ("triplet", False): ["negative"],
    ("triplet", True): ["negative", "scores"],
    ("n-tuple", False): ["negative_1", "negative_2", "negative_3"],
    ("n-tuple", True): ["negative_1", "negative_3", "scores"],
    ("labeled-pair", False): ["label"],
    ("labeled-pair", True): ["score"],
    ("labeled-list", False): ["labels"],
    ("labeled-list", True): ["scores"],
}
NAMES = sorted({name for names in ADDED.values() for name in names})


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("place", [0, 1])
def test_no_column_of_the_dataset_is_overwritten(place: int, form: Any, scores: bool) -> None:
    given = {"output_format": form, "output_scores": scores}
    for name in NAMES:
        names = [name, "other"] if place == 0 else ["other", name]
        dataset = Dataset.from_dict(dict(zip(names, DATA.values(), strict=True)))
        if name in ADDED[form, scores]:
            with pytest.raises(ValueError, match=f"The dataset's column '{name}' cannot be the .*: rename the column"):
                mine(dataset=dataset, **given)
        elif name != "negative_2":
            assert set(names) < set(mine(dataset=dataset, **given).column_names)


@pytest.mark.parametrize(
    ("ids", "form"),
    [
        ({"anchor_id_column_name": "anchor"}, "triplet"),
        ({"positive_id_column_name": "positive"}, "labeled-list"),
        ({"anchor_id_column_name": "label"}, "labeled-pair"),
        ({"positive_id_column_name": "negative_id"}, "triplet"),
        ({"anchor_id_column_name": "positive_id", "corpus_ids": list(range(20))}, "labeled-pair"),
        ({"anchor_id_column_name": "id", "positive_id_column_name": "id"}, "n-tuple"),
    ],
)
def test_no_column_of_ids_is_overwritten(ids: dict[str, Any], form: Any) -> None:
    more = {name: [1, 2, 3] for name in ("label", "negative_id", "positive_id", "id")}
    with pytest.raises(ValueError, match=r"cannot be the .*: rename the column"):
        mine(dataset=Dataset.from_dict({**DATA, **more}), output_format=form, **ids)


def test_the_function_that_it_stands_for_refuses_too() -> None:
    with pytest.raises(TypeError):
        quietly(peer, **{**DEFAULTS, "corpus": BEIR})
    dataset = Dataset.from_dict(dict(zip(("query", "label"), DATA.values(), strict=True)))
    with pytest.raises(Exception, match="Expected bytes, got a 'int' object"):
        quietly(peer, **{**DEFAULTS, "dataset": dataset, "output_format": "labeled-pair"})
