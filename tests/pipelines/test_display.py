"""What a person is told while a run works: how much is done, of how much, and how long the rest takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardneg.pipelines.terminal.display import Rates, phrase, total_of
from hardneg.transforms.core.progress import StageProgress, read_progress, record


def test_records_are_added_up(tmp_path: Path) -> None:
    work = str(tmp_path)
    record(work, "score", done=3, expected=10)
    record(work, "score", done=4, seconds=0.5, each=8.0)
    record(work, "score", expected=-2, each=9.5)
    record(work, "mine", expected=100)
    record(work, "mine", begun=40)
    assert read_progress(work) == {
        "score": StageProgress(done=7, expected=8, seconds=0.5, each=9.5),
        "mine": StageProgress(expected=100, begun=40),
    }


def test_what_queries_to_come_will_ask_for_is_part_of_the_total() -> None:
    stages = {"mine": StageProgress(expected=100, begun=40), "score": StageProgress(done=50, expected=80, each=9.5)}
    assert total_of("score", stages) == 80 + 570
    assert total_of("mine", stages) == 100
    assert total_of("score", {"score": stages["score"]}) == 80


@pytest.mark.parametrize(
    ("done", "seconds", "expected"),
    [
        (0, 60.0, "encode 0 of 1,000"),  # nothing moved: nothing is said of the time
        (100, 10.0, "encode 100 of 1,000 (90 s left)"),
        (100, 60.0, "encode 100 of 1,000 (9 min left)"),
        (10, 120.0, "encode 10 of 1,000 (3.3 h left)"),
        (1000, 60.0, "encode 1,000 of 1,000"),
    ],
)
def test_the_rest_at_the_present_rate(done: int, seconds: float, expected: str) -> None:
    rates = Rates()
    rates.see({"encode": StageProgress(done=0, expected=1000)}, 5.0)
    stages = {"encode": StageProgress(done=done, expected=1000)}
    rates.see(stages, 5.0 + seconds)
    assert phrase("encode", stages, rates) == expected


def test_the_present_rate_forgets_what_is_long_past() -> None:
    rates = Rates()
    for second in range(0, 1001, 10):  # what was in the store is there at once, then the model works
        rates.see({"score": StageProgress(done=5000 + second)}, float(second))
    assert rates.of("score") == pytest.approx(1.0)
    assert rates.of("unknown") == 0


def test_a_guessed_total_is_called_about() -> None:
    stages = {"mine": StageProgress(expected=10), "score": StageProgress(done=5, expected=5, each=2.0)}
    assert phrase("score", stages, Rates()) == "score 5 of about 25"
    assert phrase("read", {"read": StageProgress(done=7)}, Rates()) == "read 7"
