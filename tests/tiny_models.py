"""Small random models with a real tokenizer, for what does not depend on what a model has learnt."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec


def save_tokenizer(folder: Path) -> None:
    AutoTokenizer.from_pretrained(find_model(ModelSpec("bi-encoder", "bundled"))).save_pretrained(folder)


def save_tiny(folder: Path, outputs: int = 1, head: bool = True, seed: int = 0) -> Path:
    """Save a random BERT of one narrow layer; ``head``: with a classifier of ``outputs`` outputs."""
    torch.manual_seed(seed)
    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=outputs,
        initializer_range=1.0,  # so that texts differ
    )
    model = (BertForSequenceClassification if head else BertModel)(config)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def with_embedding(model: Path, folder: Path, word: str, value: float) -> Path:
    """Copy a model with another word embedding of one word, the same number throughout."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name][AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(word)] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
