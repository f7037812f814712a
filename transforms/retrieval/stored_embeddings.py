"""Encoding texts once: what a bi-encoder has encoded before lies in the store, text by text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hardneg.errors import ModelError
from hardneg.transforms.models.loaded import bi_encoder
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.store.filling import Filling
from hardneg.transforms.store.known_models import described
from hardneg.transforms.store.shelf import Shelf, embedding_shelf
from hardneg.transforms.store.uses import StorePlace
from hardneg.transforms.store.value_keys import ValueKeys, embedding_keys

if TYPE_CHECKING:
    from hardneg.transforms.models.bi_encoder import BiEncoder, Role


@dataclass(frozen=True)
class StoredEmbeddings:
    """A bi-encoder and its shelf of the store; the model is loaded when something has to be computed.

    Attributes:
        place: the store.
        spec: the bi-encoder.
        describe: says what the model is, without loading it where the store knows.
        load: loads it.
    """

    place: StorePlace
    spec: ModelSpec
    describe: Callable[[StorePlace, ModelSpec], dict[str, Any]] = described
    load: Callable[[ModelSpec], BiEncoder] = bi_encoder

    def shelf(self) -> Shelf:
        """Return the model's shelf, its files listed now.

        Raises:
            ModelError: the model cannot be found or loaded.
        """
        return embedding_shelf(self.place, self.describe(self.place, self.spec))

    def compute(
        self, shelf: Shelf, keys: ValueKeys, texts: Sequence[str], role: Role, on_batch: Callable[[int], None]
    ) -> npt.NDArray[np.float32]:
        """Encode texts, storing them under their keys as they are computed; return float32, shape (n, dimension).

        Args:
            shelf: this model's.
            keys: of the texts.
            texts: without prompts.
            role: which prompt is put before them.
            on_batch: told how many texts each finished batch held.

        Raises:
            ModelError: an embedding is not finite, or the model is not the one that the shelf is of.
        """
        if not len(texts):
            return np.empty((0, 0), dtype=np.float32)
        model = self.load(self.spec)
        expected = self.describe(self.place, self.spec)
        if model.fingerprint != expected["fingerprint"]:
            raise ModelError(
                f"bi-encoder {self.spec.model}: what is loaded is not what {self.place.root} says that it is; its "
                "files changed meanwhile: start the run again.",
                model=self.spec.model,
            )
        values = np.empty((len(texts), expected["dimension"]), dtype=np.float32)
        with Filling(shelf) as filling:
            for rows, embeddings in model.parts(texts, role):
                values[rows] = embeddings
                filling.put(keys[rows], embeddings)
                on_batch(len(rows))
        return values

    def encode(self, texts: Sequence[str], role: Role) -> tuple[npt.NDArray[np.float32], int, Shelf]:
        """Return the texts' embeddings, float32, shape (n, dimension), how many of them were computed, and the shelf.

        Errors as in ``compute``.
        """
        shelf = self.shelf()
        keys = embedding_keys(role, texts)
        hits = shelf.find(keys)
        missing = np.flatnonzero(~hits.known)
        new = missing[np.unique(keys[missing], return_index=True)[1]]
        if len(new):
            fresh = self.compute(shelf, keys[new], [texts[row] for row in new], role, lambda _: None)
            hits.values[missing] = fresh[np.searchsorted(keys[new], keys[missing])]
        shelf.use(keys)
        return hits.values, len(new), shelf
