"""The DAG in a real Airflow, from night to night, on a store of this machine."""

from __future__ import annotations

import json

from conftest import Night, Nights

ALL_WELL = dict.fromkeys(("refresh", "publish", "audit", "notify"), "success")


def test_a_first_night_whose_refresh_is_killed_goes_on_and_publishes(first_night: Night, nights: Nights) -> None:
    assert first_night.code == 0, first_night.log[-5000:]
    assert first_night.states == ALL_WELL
    assert first_night.attempts == {"refresh": 2, "publish": 1, "audit": 1, "notify": 1}
    assert "exit code 137" in first_night.log
    refreshed = first_night.told["refresh"]
    assert (refreshed["exit"], refreshed["snapshot"]) == (0, nights.latest())
    assert refreshed["figures"]["triplets"] > 0
    assert first_night.told["publish"]["again"] is True
    assert first_night.told["audit"]["figures"]["rows"] == refreshed["figures"]["triplets"]
    assert (nights.store / "snapshots" / nights.latest() / "report.html").exists()


def test_a_night_in_which_nothing_changed_says_so(first_night: Night, nights: Nights) -> None:
    before = nights.latest()
    night = nights.run()
    assert night.code == 0, night.log[-5000:]
    assert night.states == ALL_WELL
    assert (night.told["refresh"]["changed"], nights.latest()) == ([], before)
    message = json.loads(nights.message.read_text(encoding="utf-8"))
    assert message["ended"] == "well"
    assert message["text"].splitlines()[0] == f"hardneg refresh {before}: done (exit code 0): nothing changed"


def test_a_gate_that_is_not_passed_fails_the_night_without_another_attempt(first_night: Night, nights: Nights) -> None:
    before = nights.latest()
    # Another number of shards is a change that the judge of the last snapshot does not mind.
    night = nights.run(refresh=["--output-shards", "1", "--gate", "min-rows=1000"])
    assert night.code != 0
    assert night.states == {
        "refresh": "failed",
        "publish": "upstream_failed",
        "audit": "upstream_failed",
        "notify": "failed",
    }, night.log[-5000:]
    assert night.attempts["refresh"] == 1
    assert (night.told["refresh"]["exit"], nights.latest()) == (3, before), night.told["refresh"]
    message = json.loads(nights.message.read_text(encoding="utf-8"))
    assert message["ended"] == "badly"
    assert night.told["refresh"]["refused"][0] in message["text"]
    assert message["commands"]["refresh"]["refused"] == night.told["refresh"]["refused"]
