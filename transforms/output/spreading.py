"""An order of rows in which no batch of ``BATCH``, read in order, shows a row what it must not be trained away from.

A batch mate's passage is a negative, too. So a row *shows* texts to its batch, its positive and its negatives, and
*avoids* texts: all that is, or may be, relevant to its query. Two rows clash if one shows what the other avoids, or if
they are of one query.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

BATCH = 64
APART = BATCH - 1  # rows that a batch may look back on


@dataclass(frozen=True)
class OfQuery:
    """What all rows of a query have in common: its number, and the texts, as numbers, that they avoid."""

    number: int
    avoided: tuple[int, ...] = ()

    # A text that is shown is the key 2 n, one that is avoided 2 n + 1, a query -1 - n. A row waits until none of its
    # ``needs`` is held, and holds its ``marks`` from then on.
    @cached_property
    def needs(self) -> list[int]:
        return [-1 - self.number, *(2 * text for text in self.avoided)]

    @cached_property
    def marks(self) -> list[int]:
        return [-1 - self.number, *(2 * text + 1 for text in self.avoided)]


@dataclass(frozen=True)
class ShownRow:
    """A row: its query, and the texts, as numbers, that it shows to its batch."""

    query: OfQuery
    shown: tuple[int, ...]

    def needs(self) -> Iterator[int]:
        yield from self.query.needs
        yield from (2 * text + 1 for text in self.shown)

    def marks(self) -> Iterator[int]:
        yield from self.query.marks
        yield from (2 * text for text in self.shown)


def spread(
    rows: Sequence[ShownRow], before: Sequence[ShownRow] = (), after: Sequence[ShownRow] = (), offset: int = 0
) -> list[int]:
    """Return an order of rows, as their places, chosen greedily.

    At each place stands the first row that clashes with none of the ``APART`` rows before it, nor with one of
    ``after`` that is as near: so batches may begin anywhere. When there is none, each row that is left is put between
    two that stand already, as late as it is as far from all that it clashes with. For what is left then, it is enough
    that a row clashes with none of its own batch, batches being counted from the first row of all; and where there is
    no such row either, the first that is left is taken. What clashes in its batch after all changes places with a row
    of the nearest batch before it where both fit.

    Args:
        rows: what is ordered.
        before: the last rows that are read before these.
        after: the rows that are read after these, in their order.
        offset: how many rows are read before these, in all.
    """
    order = _Greedy(rows, before, after).order()
    placed = set(order)
    order = _put_between(rows, order, [row for row in range(len(rows)) if row not in placed], before, after)
    placed.update(order)
    left = [row for row in range(len(rows)) if row not in placed]
    earlier = [*before, *(rows[row] for row in order[-BATCH:])]
    rest = _Greedy([rows[row] for row in left], earlier, after, offset + len(order)).order()
    return _mend(rows, [*order, *(left[row] for row in rest)], before, after, offset)


@dataclass
class _Greedy:
    """Takes, at each place, the first row that fits.

    With an offset, a row fits that clashes with none of its batch, and where none fits the first is taken all the
    same; without one, a row fits that clashes with none as near as a batch is long, and it ends where none fits.
    """

    rows: Sequence[ShownRow]
    before: Sequence[ShownRow]
    after: Sequence[ShownRow]
    offset: int | None = None
    last: dict[int, int] = field(default_factory=dict)  # key -> the last place where it is marked
    ahead: dict[int, int] = field(default_factory=dict)  # key -> the first place of ``after`` where it is marked
    parked: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # key -> a heap of rows
    marked: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # place -> keys

    def __post_init__(self) -> None:
        for place, row in enumerate(self.before, -len(self.before)):
            self._mark(row, place)
        for place, row in reversed(list(enumerate(self.after, len(self.rows)))):
            self.ahead.update(dict.fromkeys(row.marks(), place))
        self.ready = list(range(len(self.rows)))  # a heap of rows not known to be blocked
        self.written = bytearray(len(self.rows))

    def order(self) -> list[int]:
        order: list[int] = []
        first = 0
        for place in range(len(self.rows)):
            self._release_due(place)
            chosen = self._take(place)
            if chosen is None:
                if self.offset is None:
                    break
                while self.written[first]:
                    first += 1
                chosen = first
            self.written[chosen] = True
            order.append(chosen)
            self._mark(self.rows[chosen], place)
            self._release_free(self.rows[chosen], place)
        return order

    def _reach(self, place: int) -> tuple[int, int]:
        """Return the first and the last place that a row at this one is not to clash with."""
        if self.offset is None:
            return place - APART, place + APART
        start = place - (self.offset + place) % BATCH
        return start, start + APART

    def _take(self, place: int) -> int | None:
        """Return the first ready row that fits, having parked those that do not."""
        start, end = self._reach(place)
        last, ahead = self.last, self.ahead
        while self.ready:
            number = heapq.heappop(self.ready)
            if self.written[number]:
                continue
            row = self.rows[number]
            held, until = None, start - 1
            for key in row.needs():
                at = last.get(key, until)
                if ahead and ahead.get(key, end + 1) <= end:
                    at = end  # it will not be free again
                if at > until:
                    held, until = key, at
            if held is None:
                return number
            heapq.heappush(self.parked[held], number)
            self._release_free(row, place)
        return None

    def _mark(self, row: ShownRow, place: int) -> None:
        for key in row.marks():
            self.last[key] = place
            self.marked[place].append(key)

    def _release_due(self, place: int) -> None:
        start, _ = self._reach(place)
        for old in range(place - BATCH, start):
            for key in self.marked.pop(old, ()):
                if self.last[key] == old:
                    self._release(key)

    def _release_free(self, row: ShownRow, place: int) -> None:
        """Release the next row that waits for what this one, written or parked elsewhere, does not hold."""
        start, end = self._reach(place)
        for key in row.needs():
            if key in self.parked and self.last.get(key, start - 1) < start and self.ahead.get(key, end + 1) > end:
                self._release(key)

    def _release(self, key: int) -> None:
        # One row is enough: the others stand behind it, and wait again once it is written. So a key that most
        # rows have does not make every row move again and again.
        waiting = self.parked.get(key, [])
        while waiting:
            number = heapq.heappop(waiting)
            if not self.written[number]:
                heapq.heappush(self.ready, number)
                break
        if not waiting:
            self.parked.pop(key, None)


def _put_between(
    rows: Sequence[ShownRow],
    order: list[int],
    left: Sequence[int],
    before: Sequence[ShownRow],
    after: Sequence[ShownRow],
) -> list[int]:
    """Return the order with such of the rows that are left as find a place in it; no two rows come nearer by that.

    Places are those before anything is put between. To look for them costs no more than ``BATCH`` steps a row: where
    most rows clash there are none to be found.
    """
    if not left:
        return order
    marked: defaultdict[int, list[int]] = defaultdict(list)
    standing = [*before, *(rows[row] for row in order), *after]
    for place, row in enumerate(standing, -len(before)):
        for key in row.marks():
            marked[key].append(place)
    put: list[tuple[int, int]] = []
    steps = BATCH * len(rows)
    for number in left:
        row = rows[number]
        clashes = sorted(chain.from_iterable(marked.get(key, ()) for key in row.needs()))
        steps -= len(clashes) + len(row.query.avoided)
        if steps < 0:
            break
        gap = _latest_gap(clashes, len(order))
        if gap is not None:
            put.append((gap, number))
            for key in row.marks():
                marked[key].append(gap)
    between: defaultdict[int, list[int]] = defaultdict(list)
    for place, number in put:
        between[place].append(number)
    return [row for place in range(len(order) + 1) for row in (*between[place], *order[place : place + 1])]


def _latest_gap(clashes: Sequence[int], stop: int) -> int | None:
    """Return the last place, at most ``stop``, that is more than ``APART`` from each of these, ascending."""
    for clash in reversed(clashes):
        if stop - clash > APART:
            return stop
        stop = min(stop, clash - BATCH)
    return stop if stop >= 0 else None


def _mend(
    rows: Sequence[ShownRow],
    order: list[int],
    before: Sequence[ShownRow],
    after: Sequence[ShownRow],
    offset: int,
) -> list[int]:
    """Return the order with rows exchanged that clash in their batch, as far as ``BATCH`` steps a row find places."""
    order = list(order)
    marks: defaultdict[int, Counter[int]] = defaultdict(Counter)  # batch -> how many of its rows hold each key
    for place, row in enumerate([*before, *(rows[each] for each in order), *after], -len(before)):
        marks[(offset + place) // BATCH].update(row.marks())
    steps = BATCH * len(rows)

    def fits(row: ShownRow, batch: int, leaving: ShownRow) -> bool:
        gone = Counter(leaving.marks())
        return all(marks[batch][key] <= gone[key] for key in row.needs())

    for place in range(len(order) - 1, -1, -1):
        row, home = rows[order[place]], (offset + place) // BATCH
        if fits(row, home, leaving=row):
            continue
        for other in range(BATCH * home - offset - 1, -1, -1):
            there, batch = rows[order[other]], (offset + other) // BATCH
            steps -= 1
            if steps < 0:
                return order
            if fits(there, home, leaving=row) and fits(row, batch, leaving=there):
                order[place], order[other] = order[other], order[place]
                for came, left, where in ((there, row, home), (row, there, batch)):
                    marks[where].update(came.marks())
                    marks[where].subtract(left.marks())
                break
    return order


def last_rows(rows: Sequence[ShownRow]) -> list[int]:
    """Return the rows, as their places, that are to stand last: ``APART`` of the last ones, which do not clash.

    Of fewer rows, all; where too few do not clash, the rest stand before them.
    """
    held: set[int] = set()
    taken: list[int] = []
    left: list[int] = []
    for place in range(len(rows) - 1, -1, -1):
        if len(taken) == APART:
            break
        if held.isdisjoint(rows[place].needs()):
            held.update(rows[place].marks())
            taken.append(place)
        else:
            left.append(place)
    return [*taken, *left[: APART - len(taken)]][::-1]


def clashing(batch: Iterable[ShownRow]) -> int:
    """Return how many rows of a batch meet, in another row of it, a text that they avoid."""
    rows = list(batch)
    shown = Counter(chain.from_iterable(set(row.shown) for row in rows))
    return sum(any(shown[text] > (text in row.shown) for text in row.query.avoided) for row in rows)


def clashes_in_order(rows: Sequence[ShownRow], before: Sequence[ShownRow] = (), offset: int = 0) -> int:
    """Return how many rows more, with these, meet in their batch a text that they avoid.

    Args:
        rows: in their order; the last of their batches may be shorter.
        before: the last ``APART`` rows that are read before these, or all; those of an open batch count with these.
        offset: how many are read before these.
    """
    begun = before[len(before) - offset % BATCH :]
    read = [*begun, *rows]
    batches = (read[place : place + BATCH] for place in range(0, len(read), BATCH))
    return sum(map(clashing, batches)) - clashing(begun)
