import numpy as np
import pytest

from benchmark.differences import compare
from benchmark.plots_ablation import draw_ablation, draw_dots, draw_map
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


def test_titles_fit_on_the_figure(outcomes):
    figure = draw_dots(outcomes, {"kind": ["deep", "flat", "bad", "blind"]}, "recall@10")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for text in figure.texts:
        assert text.get_window_extent(canvas.get_renderer()).x1 <= figure.bbox.width


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
