"""The drawing of a flow: nothing overlaps, every edge goes to the right, parents are level with their children."""

import re

from hypothesis import given
from hypothesis import strategies as st

from service.dashboard.flows.layout import BOX_HEIGHT, BOX_WIDTH, Drawing, draw, is_drawable

EDGES = [
    ("fetch", "import"),
    ("import", "thumbnails"),
    ("import", "counters"),
    ("import", "notify"),
    ("thumbnails", "publish"),
    ("counters", "publish"),
    ("publish", "report"),
    ("notify", "report"),
]
JOBS = ["fetch", "import", "thumbnails", "counters", "notify", "publish", "report"]


def points(path: str) -> list[tuple[int, int]]:
    """Return where a line is level: its ends, and where it passes a column."""
    found: list[tuple[int, int]] = []
    for command, numbers in re.findall(r"([MCH])([\d ]+)", path):
        numbers = [int(number) for number in numbers.split()]
        found.append((numbers[-1], found[-1][1]) if command == "H" else (numbers[-2], numbers[-1]))
    return found


def is_within(box: tuple[int, int], x: int, y: int) -> bool:
    return box[0] <= x <= box[0] + BOX_WIDTH and box[1] <= y <= box[1] + BOX_HEIGHT


def check(drawing: Drawing) -> None:
    boxes = list(drawing.boxes.items())
    for number, (_, (x, y)) in enumerate(boxes):
        assert 0 <= x <= drawing.width - BOX_WIDTH
        assert 0 <= y <= drawing.height - BOX_HEIGHT
        assert all(x != other_x or abs(y - other_y) > BOX_HEIGHT for _, (other_x, other_y) in boxes[number + 1 :])
    for (parent, child), path in drawing.paths.items():
        way = points(path)
        (x, y), (to_x, to_y) = drawing.boxes[parent], drawing.boxes[child]
        assert (way[0], way[-1]) == ((x + BOX_WIDTH, y + BOX_HEIGHT // 2), (to_x, to_y + BOX_HEIGHT // 2))
        assert [at for at, _ in way] == sorted(at for at, _ in way)
        for at, height in way[1:-1]:  # beside the boxes that it passes
            assert not [box for box in drawing.boxes.values() if is_within(box, at, height)]


def test_a_flow_is_drawn_by_depth_with_parents_level_with_their_children() -> None:
    drawing = draw(JOBS, EDGES)
    check(drawing)
    columns = {name: x for name, (x, _) in drawing.boxes.items()}
    assert columns["fetch"] < columns["import"] < columns["thumbnails"] == columns["notify"]
    assert columns["notify"] < columns["publish"] < columns["report"]
    assert drawing.boxes["fetch"][1] == drawing.boxes["import"][1] == drawing.boxes["counters"][1]
    middle = (drawing.boxes["thumbnails"][1] + drawing.boxes["counters"][1]) / 2
    assert drawing.boxes["publish"][1] == middle


pairs_of_jobs = st.tuples(st.integers(0, 25), st.integers(0, 25))


@given(st.sets(pairs_of_jobs, max_size=60))
def test_no_drawing_has_boxes_or_lines_on_top_of_others(pairs: set[tuple[int, int]]) -> None:
    edges = [(str(min(pair)), str(max(pair))) for pair in sorted(pairs) if len(set(pair)) == 2]
    check(draw([str(job) for job in range(26)], list(dict.fromkeys(edges))))


def test_edges_to_jobs_that_are_not_shown_are_left_out_and_large_flows_are_not_drawn() -> None:
    assert draw(["a"], [("elsewhere", "a")]).paths == {}
    assert draw([], []).boxes == {}
    assert is_drawable(200, 800)
    assert not is_drawable(201, 0)
    assert not is_drawable(10, 801)
