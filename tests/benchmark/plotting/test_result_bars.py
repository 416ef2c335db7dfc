import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from benchmark.plotting import results as plots
from benchmark.plotting.results import draw, draw_bars, draw_time
from benchmark.plotting.style import HATCHES, PALETTE, style_of
from benchmark.records.results import load_records, row_of
from benchmark.records.summary import latest_rows, learning_curves, summarise
from tests.records import make_record, write_examples, write_record

METHODS = {
    "popularity": (0.07, 0.01),
    "sasrec": (0.21, 120),
    "user_encoder": (0.212, 125),
    "bert4rec": (0.17, 124),
    "dual_encoder": (0.168, 118),
    "text_prompt": (0.11, 260),
    "user_llm": (0.2, 395),
}
CURVE = tuple((10.0 * n, n, 0.02 * n) for n in range(1, 9))


@pytest.fixture
def rows(tmp_path):
    for method, (recall, seconds) in METHODS.items():
        curve = CURVE if seconds > 1 else ()
        record = make_record(method, recall=recall, seconds=seconds, curve=curve)
        write_record(tmp_path / "runs" / method, record)
        write_examples(tmp_path / "runs" / method, record)
    return load_records([tmp_path / "runs"])


def boxes(figure):
    """Extents of the method labels of a time figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    renderer = FigureCanvasAgg(figure).get_renderer()
    return [Text.get_window_extent(text, renderer) for text in figure.axes[0].texts]


def test_both_figures_come_as_png_and_svg(rows, tmp_path):
    files = draw(rows, tmp_path / "plots")
    assert sorted(file.suffix for file in files) == [".png", ".png", ".svg", ".svg"]
    assert all(file.stat().st_size > 5_000 for file in files)
    assert not list((tmp_path / "plots").glob(".*"))


def test_equal_rows_make_equal_files(rows, tmp_path):
    first = [file.read_bytes() for file in draw(rows, tmp_path / "one")]
    assert [file.read_bytes() for file in draw(rows, tmp_path / "two")] == first


def test_bars_have_the_lengths_of_the_numbers(rows):
    figure = draw_bars(summarise(rows), "t\ns")
    axes = figure.axes[0]
    order = [label.get_text() for label in axes.get_yticklabels()]
    assert order[0] == "user_encoder"
    assert order[-1] == "popularity"
    bars = {
        container.get_label(): [bar.get_width() for bar in container]
        for container in axes.containers
        if container.get_label() in plots.NEXT_ITEM_BARS
    }
    for position, method in enumerate(order):
        assert bars["recall@10"][position] == METHODS[method][0]
        assert bars["recall@1"][position] == METHODS[method][0] / 4


def test_labels_of_the_time_figure_do_not_overlap_and_stay_inside(rows):
    figure = draw_time(summarise(rows), learning_curves(rows), "t\ns")
    found = boxes(figure)
    assert len(found) == len(METHODS)
    for one, other in combinations(found, 2):
        assert not one.overlaps(other)
    inside = figure.axes[0].get_window_extent()
    for box in found:
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1
        assert inside.y0 <= box.y0
        assert box.y1 <= inside.y1


@pytest.mark.parametrize("more", [(), (1,), (1, 2)])
def test_the_label_of_the_upright_axis_is_no_longer_than_the_axis(rows, more):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    again = [row_of(make_record("sasrec", seed), rows[0].path) for seed in more]
    found = [*rows, *again]
    figure = draw_time(summarise(found), learning_curves(found), "t\none line\nand another")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    label = axes.yaxis.label.get_window_extent(canvas.get_renderer())
    assert "mean of" in axes.get_ylabel() or not more
    assert axes.bbox.y0 - 1 <= label.y0
    assert label.y1 <= axes.bbox.y1 + 1


def test_nothing_of_a_figure_is_cut_off(rows):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    rows = [*rows, row_of(make_record("recbole/ARatherLongNameOfAModel"), rows[0].path)]
    for figure in (
        draw_bars(summarise(rows), "A title\nand a second line"),
        draw_bars(summarise(rows), f"A title\n{'and a line that is wrapped ' * 20}"),
        draw_time(summarise(rows), learning_curves(rows), "A title\nand a second line"),
    ):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        tight = figure.get_tightbbox(canvas.get_renderer())
        width, height = figure.get_size_inches()
        assert tight.x0 >= -0.01
        assert tight.y0 >= -0.01
        assert tight.x1 <= width + 0.01
        assert tight.y1 <= height + 0.01


def test_what_may_not_be_compared_is_in_different_figures(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "save", lambda figure, path: [path])
    other = [row_of(make_record("sasrec", preset="full"), rows[0].path)]
    moved = make_record("sasrec")
    moved = moved.model_copy(
        update={"dataset": moved.dataset.model_copy(update={"target_hash": "x"})}
    )
    files = draw([*rows, *other, row_of(moved, rows[0].path)], tmp_path)
    assert len(set(files)) == len(files) == 6


def test_titles_say_what_was_compared(rows, tmp_path):
    title = plots.title_of(rows)
    for part in ("ml-100k", "Next item", "seen items taken out", "split last", "quick", "seed 0"):
        assert part in title


def test_seeds_are_averaged_and_the_interval_shrinks(tmp_path):
    for seed in range(4):
        record = make_record("alpha", seed, recall=0.2 + 0.01 * seed)
        write_record(tmp_path / str(seed), record)
        write_examples(tmp_path / str(seed), record, seed)
    line = summarise(load_records([tmp_path])).set_index("metric").loc["recall@10"]
    assert line["value"] == pytest.approx(0.215)
    assert line["seeds"] == 4
    assert line["low"] < 0.215 < line["high"]
    # The same users with independent misses: the mean varies less than one seed's value.
    one = make_record("alpha", recall=0.215)
    assert line["high"] - line["low"] < 3.92 * np.sqrt(0.215 * 0.785 / one.examples)


def test_without_examples_the_intervals_of_the_seeds_are_averaged(tmp_path):
    for seed in (0, 1):
        write_record(tmp_path / str(seed), make_record("alpha", seed))
    line = summarise(load_records([tmp_path])).set_index("metric").loc["recall@10"]
    assert (line["low"], line["high"]) == pytest.approx((0.18, 0.22))


def test_of_equal_cells_the_latest_counts(tmp_path):
    old = make_record("alpha", recall=0.1, created="2026-01-01T00:00:00+00:00")
    new = make_record("alpha", recall=0.3, created="2026-01-02T00:00:00+00:00")
    rows = [row_of(new, tmp_path), row_of(old, tmp_path)]
    assert [row.record for row in latest_rows(rows)] == [new]


def test_variants_of_a_method_are_told_apart(tmp_path):
    records = [make_record("alpha"), make_record("alpha", method_changes={"epochs": 3})]
    labels = summarise([row_of(record, tmp_path) for record in records])["label"].unique()
    assert list(labels) == ["alpha\nas is", "alpha\nepochs=3"]


def test_a_method_that_is_alone_says_what_was_changed_of_it(tmp_path, monkeypatch):
    shown = []
    for name in ("draw_bars", "draw_time"):
        monkeypatch.setattr(plots, name, lambda summary, *_: shown.append(summary["label"][0]))
    monkeypatch.setattr(plots, "save", lambda figure, path: [path])
    draw([row_of(make_record("alpha", method_changes={"epochs": 3}), tmp_path)], tmp_path)
    long = {f"a.setting.of.some.length.{n}": n for n in range(4)}
    draw([row_of(make_record("alpha", method_changes=long, tuned={}), tmp_path)], tmp_path)
    draw([row_of(make_record("alpha", method_changes=long, tuned={"x": 1}), tmp_path)], tmp_path)
    draw([row_of(make_record("alpha"), tmp_path)], tmp_path)
    assert shown[:2] == ["alpha\nepochs=3"] * 2
    assert all(label.startswith("alpha\na.setting") for label in shown[2:4])
    assert all(label.startswith("alpha\ntuned, ") for label in shown[4:6])
    assert shown[6:] == ["alpha"] * 2


@pytest.mark.parametrize("count", [7, 14])
def test_many_short_trainings_stand_apart_and_are_all_named(count):
    rows = [row_of(make_record(f"m{n}", seconds=0.01 * n), None) for n in range(count)]
    figure = draw_time(summarise(rows), learning_curves(rows), "t\ns")
    axes = figure.axes[0]
    places = [float(bars.lines[0].get_xdata()[0]) for bars in axes.containers]
    assert len({round(x, 3) for x in places}) == count
    assert all(0 < x <= 1 for x in places)
    assert "side by side" in axes.get_xlabel()
    named = [text.get_text() for text in axes.texts]
    named += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert sorted(named) == sorted(f"m{n} (< 1 s)" for n in range(count))
    assert bool(figure.legends) == (count > 12)  # so many labels would cover one another


def test_curves_are_of_the_last_stage_and_count_the_seconds_of_those_before():
    record = make_record("alpha", curve=((5.0, 1, 0.1),), seconds=7.0)
    stage = record.fit.stages[0]
    record = record.model_copy(
        update={"fit": record.fit.model_copy(update={"stages": (stage,) * 2})}
    )
    assert list(learning_curves([row_of(record, None)])["seconds"]) == [12.0]


def test_styles_differ():
    assert len({style_of(number) for number in range(24)}) == 24
    assert len(set(PALETTE)) == len(PALETTE)
    assert len(set(HATCHES)) == 3


def test_plots_import_no_torch():
    code = "import benchmark.plotting.results, sys; print({'torch', 'lightning'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
