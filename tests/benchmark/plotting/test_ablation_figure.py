import numpy as np
import pytest

from benchmark.plotting.ablation import draw_ablation, draw_dots, draw_map
from benchmark.records.differences import compare
from benchmark.records.provenance import differences_in_code
from tests.benchmark.ablation_rows import failed, make_row


@pytest.fixture
def outcomes(tmp_path):
    rng = np.random.default_rng(5)
    rows = [make_row(tmp_path, "deep", rng.random(100) < 0.3, logprobs=rng.normal(-5, 1, 100)),
            make_row(tmp_path, "flat", rng.random(100) < 0.5, logprobs=rng.normal(-4, 1, 100)),
            failed("bad"), failed("blind", na="no such feature")]  # fmt: skip
    return compare(rows)


def extents(figure, panel):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [text.get_window_extent(canvas.get_renderer()) for text in panel.texts]


def test_dots_stand_at_the_numbers_and_gaps_are_labelled(outcomes):
    values = ["deep", "flat", "bad", "blind"]
    figure = draw_dots(outcomes, {"kind": values}, "recall@10")
    left, right, nll = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["deep (default)", *values[1:]]
    centres = [float(own.lines[0].get_xdata()[0]) for own in left.containers]
    assert centres == [outcome.metrics["recall@10"].value for outcome in outcomes[:2]]
    shifts = [float(own.lines[0].get_xdata()[0]) for own in right.containers]
    assert shifts == [0.0, outcomes[1].differences["recall@10"].value]
    assert "lower is better" in nll.get_xlabel()
    texts = [text.get_text() for text in left.texts]
    assert "error: it broke" in texts
    assert "n/a: no such feature" in texts
    for panel in figure.axes:
        boxes = extents(figure, panel)
        assert all(not a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


@pytest.mark.parametrize("count", [0, 1, 20])
def test_titles_fit_on_the_figure(outcomes, count):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    axes = {"kind": ["deep", "flat", "bad", "blind"]}
    options = {f"user_llm.tune.name_{n}": "org/a-language-model-of-7.5B" for n in range(count)}
    figure = draw_dots(outcomes, axes, "recall@10", {"seen": "include", **options})
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    heading, below = (
        next(t for t in figure.texts if start in t.get_text())
        for start in ("recall@10 of", "targets of")
    )
    boxes = {text: text.get_window_extent(canvas.get_renderer()) for text in figure.texts}
    assert all(box.x1 <= figure.bbox.width for box in boxes.values())
    assert max(p.get_tightbbox(canvas.get_renderer()).y1 for p in figure.axes) < boxes[below].y0
    first_line = boxes[heading].y1 - 12 * figure.dpi / 72
    assert boxes[below].y1 < first_line
    told = "".join(below.get_text().split())
    assert all(f"{name}={value}" in told for name, value in options.items())
    assert "include" not in told


def test_other_options_are_another_file(outcomes, tmp_path):
    axes = {"kind": ["deep", "flat", "bad", "blind"]}
    options = [
        {}, {"seeds": "0,1"}, {"llm": "a/b"}, {"llm": "a-b"}, {"a": "x" * 60}, {"a": "x" * 61},
        {"seeds": "0,1", "llm": "a-b"},
    ]  # fmt: skip
    names = [draw_ablation(outcomes, axes, "recall@10", tmp_path, own)[0].name for own in options]
    assert len(set(names)) == len(names)
    assert names[0] == "ablation-kind-ml-100k-next_item-quick-test.png"
    assert names[1] == "ablation-kind-ml-100k-next_item-quick-test-seeds=0,1.png"
    assert max(map(len, names)) < 100
    turned = {"llm": "a-b", "seeds": "0,1"}
    assert draw_ablation(outcomes, axes, "recall@10", tmp_path, turned)[0].name == names[-1]


def test_a_figure_says_where_rows_come_from_different_code(tmp_path):
    rows = [make_row(tmp_path, value, np.ones(20)) for value in ("deep", "flat")]
    axes = {"kind": ["deep", "flat"]}
    for changes, told in (
        ({}, ""),
        ({"git": {"commit": "b" * 40, "dirty": False}}, "commit aaaaaaaa (changed), bbbbbbbb"),
        ({"versions": {"torch": "2.13"}}, "torch 2.12, 2.13"),
        ({"host": {"threads": 2}}, "made on different devices or threads: threads 1, 2"),
        (
            {"host": {"threads": 1, "devices": 2}},
            "made on different devices or threads: devices 1, 2",
        ),
        ({"git": None, "python": "CPython 3.12.1"}, "unknown; python 3.11.7, 3.12.1"),
    ):
        own = {
            "git": {"commit": "a" * 40, "dirty": True},
            "versions": {"torch": "2.12"},
            "host": {"threads": 1, "memory_bytes": 5},
            "python": "CPython 3.11.7",
        }
        made = [
            row.model_copy(update={"record": row.record.model_copy(update=facts)})
            for row, facts in zip(rows, (own, {**own, **changes}), strict=True)
        ]
        assert told in differences_in_code(row.record for row in made)
        figure = draw_dots(compare(made), axes, "recall@10")
        texts = " ".join(" ".join(text.get_text().split()) for text in figure.texts)
        assert ("rows were made" in texts) == bool(told)
        assert told in texts


def test_a_map_has_a_field_a_combination(tmp_path):
    rng = np.random.default_rng(6)
    rows = []
    for kind, pace in (("deep", "three"), ("flat", "one"), ("deep", "one")):
        row = make_row(tmp_path, f"{kind}{pace}", rng.random(100) < 0.4)
        rows.append(row.model_copy(update={"axes": {"kind": kind, "pace": pace}}))
    rows.append(failed("flat").model_copy(update={"axes": {"kind": "flat", "pace": "three"}}))
    outcomes = compare(rows)
    axes = {"kind": ["deep", "flat"], "pace": ["three", "one"]}
    panel = draw_map(outcomes, axes, "recall@10").axes[0]
    assert len(panel.patches) == 4
    shown = {text.get_position(): text.get_text() for text in panel.texts}
    assert shown[0, -0.12] == f"{outcomes[0].metrics['recall@10'].value:.3f}"
    assert f"({outcomes[1].differences['recall@10'].value:+.3f})" in shown[1, 0.88]
    assert shown[0, 0.88] == "error"
    files = draw_ablation(outcomes, axes, "recall@10", tmp_path / "plots")
    assert [file.name for file in files] == [
        f"ablation-kind-pace-ml-100k-next_item-quick-test.{kind}" for kind in ("png", "svg")
    ]
    first = [file.read_bytes() for file in files]
    again = draw_ablation(outcomes, axes, "recall@10", tmp_path / "plots")
    assert [file.read_bytes() for file in again] == first
