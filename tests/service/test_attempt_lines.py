"""The first and the latest lines that an attempt logs are kept, whenever they are written down."""

import random
from datetime import UTC, datetime

from service.attempt_lines import MOST_BYTES, MOST_FIRST, MOST_LATEST, AttemptLines

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def add(lines: AttemptLines, count: int, size: int = 10) -> None:
    for _ in range(count):
        lines.add(NOW, "info", "x", False, {}, size)


def write(lines: AttemptLines, kept: set[int], *, meanwhile: int = 0) -> None:
    news = lines.news()
    add(lines, meanwhile)
    kept |= {line.number for line in news.lines}
    if news.left_out is not None:
        kept -= set(range(news.left_out[0], news.left_out[1] + 1))
    lines.note_kept(news)


def test_whenever_lines_are_written_the_same_are_kept_in_the_end() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        lines, kept, total = AttemptLines(None), set[int](), 0
        while total < 1_000:
            count = chance.choice([0, 1, 5, 99, 100, 101, 250])
            add(lines, count)
            total += count
            if chance.random() < 0.6:
                write(lines, kept, meanwhile=(more := chance.choice([0, 0, 1, 50, 250])))
                total += more
                assert len(kept) <= MOST_FIRST + MOST_LATEST, seed
        write(lines, kept)
        assert kept == {*range(1, MOST_FIRST + 1), *range(total - MOST_LATEST + 1, total + 1)}, seed
        assert not any(lines.news()), seed


def test_few_lines_are_all_kept() -> None:
    lines, kept = AttemptLines(None), set[int]()
    add(lines, 150)
    write(lines, kept)
    add(lines, 50)
    write(lines, kept)
    assert kept == set(range(1, 201))


def test_long_lines_are_bounded_by_their_bytes() -> None:
    lines, kept = AttemptLines(None), set[int]()
    add(lines, 1_000, size=4_096)
    assert lines.size_bytes <= 2 * MOST_BYTES
    write(lines, kept)
    assert kept == {*range(1, 9), *range(993, 1_001)}
    assert lines.size_bytes <= MOST_BYTES


def test_lines_that_were_left_out_while_they_were_written_go_the_next_time() -> None:
    lines, kept = AttemptLines(None), set[int]()
    add(lines, 200)
    news = lines.news()
    add(lines, 500)
    kept |= {line.number for line in news.lines}
    lines.note_kept(news)
    write(lines, kept)
    assert kept == {*range(1, 101), *range(601, 701)}
