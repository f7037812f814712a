"""`hardneg train-judge`: a cross-encoder from known positives or scored pairs. Prints nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from hardneg.errors import HardnegError
from hardneg.pipelines import driver
from hardneg.pipelines.config import MineConfig
from hardneg.pipelines.train_options import TrainOptions
from hardneg.transforms import storage
from hardneg.transforms.judge_card import card
from hardneg.transforms.judge_training import Trained, TrainingPlan, Watcher, train
from hardneg.transforms.model_files import find_model
from hardneg.transforms.scored_pairs import read_scored_pairs
from hardneg.transforms.text import text_digest
from hardneg.transforms.training_digests import pair_digests, write_digests
from hardneg.transforms.training_pairs import TrainingData, pairs_of_run, pairs_of_tables

OPTIONS = "options.json"
_FREE = ("work", "overwrite", "device")  # options that may change between a kill and going on


def train_judge(options: TrainOptions, beam_args: Sequence[str], watcher: Watcher) -> Trained:
    """Mine negatives, train, and write the model's folder.

    What a killed training has done lies in the work folder, and the same options go on from there.

    Raises:
        HardnegError: anything that is wrong with the input or the options.
    """
    output, work = Path(options.output), Path(options.work_folder)
    if output.exists() and not options.overwrite:
        raise HardnegError(f"--output {output}: it exists; choose another folder, or pass --overwrite to replace it.")
    if not storage.is_local(options.output) or not storage.is_local(options.work_folder):
        raise HardnegError("--output and --work of a training must be local folders; copy the model afterwards.")
    find_model(options.base_spec)
    scored = read_scored_pairs(options.scored_pairs)
    _take_up(options, work)
    data = _data(options, scored, str(work / "run"), beam_args)
    watcher.note(f"{data.pairs:,} pairs to learn from; {len(data.held_out):,} queries held out")
    plan = TrainingPlan(
        base=options.base_spec,
        folder=work / "checkpoints",
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        evaluations=options.evaluations,
        patience=options.patience,
        seed=options.seed,
    )
    trained = train(plan, data, watcher)
    _write(options, trained, data, work / "model")
    if output.exists():
        shutil.rmtree(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    os.replace(work / "model", output)
    shutil.rmtree(work, ignore_errors=True)
    return trained


def _take_up(options: TrainOptions, work: Path) -> None:
    """Make the work folder, or make sure that what lies there belongs to the same training."""
    wanted = json.dumps(options.model_dump(exclude=set(_FREE)), indent=1, sort_keys=True)
    stored = work / OPTIONS
    if work.exists() and (not stored.is_file() or stored.read_text(encoding="utf-8") != wanted):
        raise HardnegError(f"--work {work}: it is left from a training with other options; delete it, or name another.")
    work.mkdir(parents=True, exist_ok=True)
    stored.write_text(wanted, encoding="utf-8")


def _data(options: TrainOptions, scored: list[pa.Table], run: str, beam_args: Sequence[str]) -> TrainingData:
    parts = []
    if options.mines:
        if not os.path.isdir(run):
            driver.mine(MineConfig.model_validate(options.mining(run)), beam_args)
        parts.append(pairs_of_run(run, options.rounds, options.negatives, options.held_out))
    if scored:
        parts.append(pairs_of_tables(scored, options.held_out))
    data = TrainingData(
        [table for part in parts for table in part.rounds],
        [each for part in parts for each in part.held_out],
        all(part.retrieved for part in parts),
    )
    if not data.pairs or not data.held_out:
        raise HardnegError(
            "There is too little to learn from: no pair is left, or no query to hold out has a relevant passage beside "
            "one that is not; give more data, or lower --held-out."
        )
    return data


def _write(options: TrainOptions, trained: Trained, data: TrainingData, folder: Path) -> None:
    """Write the model in float16 (half the size, and no score changes in bfloat16), its card and its digests."""
    shutil.rmtree(folder, ignore_errors=True)
    trained.model.half().save_pretrained(folder)
    backend = trained.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    trained.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card(options.model_dump(), trained, data), encoding="utf-8")
    table = pa.concat_tables(data.rounds)
    texts = {text: text_digest(text) for name in ("query", "passage") for text in table[name].unique().to_pylist()}
    pairs = zip(table["query"].to_pylist(), table["passage"].to_pylist(), strict=True)
    write_digests(folder, pair_digests((texts[query], texts[passage]) for query, passage in pairs))
