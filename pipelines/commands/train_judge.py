"""`hardneg train-judge`: a cross-encoder from known positives or scored pairs. Prints nothing."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from safetensors import SafetensorError

from hardneg.errors import HardnegError, InputError, OptionError, parameter
from hardneg.pipelines.commands import driver
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.train import TrainOptions
from hardneg.pipelines.runs.output_place import put_in_place, refuse_existing
from hardneg.transforms.core import storage
from hardneg.transforms.core.text import text_digest
from hardneg.transforms.judge.seen_pairs import pair_digests, write_digests
from hardneg.transforms.models.files import find_model, has_head
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.training.judge_card import card
from hardneg.transforms.training.judge_training import Trained, TrainingPlan, Watcher, train
from hardneg.transforms.training.scored_pairs import read_scored_pairs
from hardneg.transforms.training.training_pairs import TrainingData, pairs_of_run, pairs_of_tables

# A trained cross-encoder is set back by a rate at which a new head learns.
TRAINED_RATE, NEW_HEAD_RATE = 2e-5, 5e-5
OPTIONS = "options.json"
_FREE = ("work", "overwrite", "device", "max_rejected")  # options that may change between a kill and going on


def train_judge(options: TrainOptions, beam_args: Sequence[str], watcher: Watcher) -> Trained:
    """Mine negatives, train, and write the model's folder.

    What a killed training has done lies in the work folder, and the same options go on from there.

    Raises:
        HardnegError: anything that is wrong with the input or the options.
    """
    output, work = Path(options.output), Path(options.work_folder)
    refuse_existing(options.output, options.overwrite)
    if not storage.is_local(options.output) or not storage.is_local(options.work_folder):
        raise OptionError(
            f"{parameter('output')} and {parameter('work')} of a training must be local folders; copy the "
            "model afterwards."
        )
    _check_installed()
    new_head = not has_head(find_model(options.base_spec))
    scored = read_scored_pairs(options.scored_pairs)
    with _explaining_disks(output, work):
        _take_up(options, work)
    if options.mines and not (work / "run").is_dir():
        config = MineConfig.model_validate(options.mining(str(work / "run")))
        with watcher.mining(config.work_folder):
            driver.mine_tables(config, beam_args)
    data = _data(options, scored, str(work / "run"), new_head)
    watcher.note(f"{data.pairs:,} pairs to learn from; {len(data.held_out):,} queries held out")
    plan = TrainingPlan(
        base=options.base_spec,
        folder=work / "checkpoints",
        batch_size=options.batch_size,
        learning_rate=options.learning_rate or (NEW_HEAD_RATE if new_head else TRAINED_RATE),
        evaluations=options.evaluations,
        patience=options.patience,
        seed=options.seed,
    )
    with _explaining_disks(output, work):
        trained = train(plan, data, watcher)
        _write(options, plan, trained, data, work / "model")
        put_in_place(work / "model", options.output, keep=False)
    shutil.rmtree(work, ignore_errors=True)
    return trained


def _check_installed() -> None:
    missing = [name for name in ("accelerate", "datasets") if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(f"train-judge needs {' and '.join(missing)}: pip install 'hardneg[train]'.")


@contextmanager
def _explaining_disks(output: Path, work: Path) -> Iterator[None]:
    """Say in a sentence what PyTorch and safetensors have a type of their own for each."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        text = str(error)
        if "No space left" in text or "failed writing file" in text:
            raise HardnegError(
                f"The disk of {work} or {output} is full; make room and start the same command again: it goes on from "
                "its last checkpoint."
            ) from error
        if isinstance(error, OSError) and error.strerror:
            raise OptionError(f"{error.filename or work} cannot be written ({error.strerror}).") from error
        raise


def _take_up(options: TrainOptions, work: Path) -> None:
    """Make the work folder, or make sure that what lies there belongs to the same training."""
    wanted = json.dumps(options.model_dump(exclude=set(_FREE)), indent=1, sort_keys=True)
    stored = work / OPTIONS
    if work.exists() and (not stored.is_file() or stored.read_text(encoding="utf-8") != wanted):
        raise OptionError(
            f"{parameter('work')} {work}: it is left from a training with other options; delete it, or name another."
        )
    work.mkdir(parents=True, exist_ok=True)
    stored.write_text(wanted, encoding="utf-8")


def _data(options: TrainOptions, scored: list[pa.Table], run: str, new_head: bool) -> TrainingData:
    parts = []
    if options.mines:
        mined = FinishedRun.open(run)
        parts.append(pairs_of_run(mined, options.rounds, options.negatives, options.held_out, unrelated=new_head))
    if scored:
        parts.append(pairs_of_tables(scored, options.held_out))
    data = TrainingData(
        [table for part in parts for table in part.rounds],
        [each for part in parts for each in part.held_out],
        all(part.retrieved for part in parts),
    )
    if not data.pairs or not data.held_out:
        raise InputError(
            "There is too little to learn from: no pair is left, or no query to hold out has a relevant passage beside "
            f"one that is not; give more data, or lower {parameter('held_out')}."
        )
    return data


def _write(options: TrainOptions, plan: TrainingPlan, trained: Trained, data: TrainingData, folder: Path) -> None:
    """Write the model in float16, half the size, with its card and the digests of its training pairs."""
    shutil.rmtree(folder, ignore_errors=True)
    trained.model.half().save_pretrained(folder)
    backend = trained.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    trained.tokenizer.model_max_length = trained.limit
    trained.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card(options.model_dump(), plan, trained, data), encoding="utf-8")
    table = pa.concat_tables(data.rounds)
    texts = {text: text_digest(text) for name in ("query", "passage") for text in table[name].unique().to_pylist()}
    pairs = zip(table["query"].to_pylist(), table["passage"].to_pylist(), strict=True)
    write_digests(folder, pair_digests((texts[query], texts[passage]) for query, passage in pairs))
