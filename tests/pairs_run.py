"""A run of question and answer pairs, from Python, that the tests of the API and of the examples look at."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ANIMALS, PLACES
from mined_runs import TinyModels

import hardneg

COLUMNS = {
    "anchor": [f"What does the {animal} eat in {place}?" for animal in ANIMALS for place in PLACES],
    "positive": [
        f"In {place} the {animal} lives near water and eats mostly {food}."
        for animal in ANIMALS
        for place, food in PLACES.items()
    ],
}
OPTIONS: dict[str, Any] = {"negatives": 2, "max_sigmoid": 0.99, "dtype": "float32", "output_shards": 2}


@pytest.fixture(scope="module")
def models(tiny_models: TinyModels) -> dict[str, str]:
    return {"bi_encoder": str(tiny_models.bi_encoder), "cross_encoder": str(tiny_models.cross_encoder)}


@pytest.fixture(scope="module")
def run(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> hardneg.Run:
    """Return the run of files and folders."""
    folder = tmp_path_factory.mktemp("files")
    pq.write_table(pa.table(COLUMNS), folder / "pairs.parquet")
    return hardneg.mine(pairs=folder / "pairs.parquet", output=folder / "out", progress=False, **models, **OPTIONS)
