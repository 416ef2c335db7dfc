import re
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmark.axes.sweep_points import CurvePoint, Point
from benchmark.cost.facts import Cost
from benchmark.plotting import sweep as plots_sweep
from benchmark.plotting.scales import in_columns
from benchmark.plotting.style import style_of
from benchmark.plotting.sweep import About, draw_latency, draw_quality, draw_sweep, draw_tokens
from benchmark.plotting.sweep_frontier import draw_frontier
from benchmark.plotting.sweep_reduction import STUDY, draw_reduction
from benchmark.records.differences import Estimate

LENGTHS = (10, 50, 200)
ABOUT = About("next_item", "ml-1m", ("recall@1", "recall@10"), "validation, 2 threads, seed 0")
KINDS = ("quality", "tokens", "reduction", "latency", "frontier")
OTHERS = ("sasrec", "bert4rec", "dual_encoder", "popularity")


def make_point(method, length, quality=0.2, **changes):
    """Of `text_prompt*`, of `user_llm`, or of a method without a language model."""
    axes = {"seq_len": float(length)} | changes.pop("axes", {})
    metrics = {
        name: Estimate(own, 0.9 * own, 1.1 * own)
        for name, own in (("recall@1", quality / 4), ("recall@10", quality))
    }
    cost = {
        "metered_users": 16, "latency_seconds": 1e-3 * length, "latency_seconds_p95": 2e-3 * length,
        "answer_memory_bytes": 1000 * length, "training_flops": 1e12 * length, "prompt_flops": 1e6,
        "encoder_flops": 1e6, "llm_prompt_flops": 0.0, "answer_flops": 2e6,
    }  # fmt: skip
    if method.startswith("text_prompt"):
        read = 1e6 * (10 if method == "text_prompt" else 4) * length
        cost |= {
            "llm_input_tokens": 12.5 * length, "llm_input_tokens_max": 15 * length,
            "encoder_flops": 0.0, "llm_prompt_flops": read, "prompt_flops": read,
            "answer_flops": read + 3e7, "kv_cache_bytes": 400.0 * length,
        }  # fmt: skip
    elif method == "user_llm":
        encoder = 1e5 * length
        cost |= {
            "llm_input_tokens": 32.0, "llm_input_tokens_max": 32, "encoder_flops": encoder,
            "llm_prompt_flops": 3e7, "prompt_flops": 3e7 + encoder,
            "answer_flops": 6e7 + encoder, "kv_cache_bytes": 900.0,
        }  # fmt: skip
    curve = (CurvePoint(1e11 * length, quality / 2), CurvePoint(1e12 * length, quality))
    return Point(method, axes, Cost(**cost | changes), metrics, curve)


def of_methods(*methods, lengths=LENGTHS, **changes):
    return [
        make_point(method, length, 0.1 + 0.02 * n + 0.0003 * length, **changes)
        for n, method in enumerate(methods)
        for length in lengths
    ]


def by_shape(points):
    names = ("llm_input_tokens", "prompt_flops", "llm_prompt_flops", "encoder_flops")
    return [
        Point(own.method, own.axes, Cost(**{name: getattr(own.cost, name) for name in names}))
        for own in points
    ]


def kinds(files):
    found = [file.stem.rpartition("-")[2] for file in files if file.suffix == ".png"]
    assert [file.stem.rpartition("-")[2] for file in files if file.suffix == ".svg"] == found
    return found


def told(figure):
    (legend,) = figure.legends
    return [" ".join(text.get_text().split()) for text in legend.get_texts()]


def drawn(panel):
    """What each line shows, by colour and line style; open markers and rings aside."""
    return {
        (line.get_color(), line.get_linestyle()): list(zip(*line.get_data(), strict=True))
        for line in panel.lines
        if line.get_linestyle() != "None" and line.get_transform() != panel.transData
    }


def colour(number):
    return style_of(number)[0]


def test_figures_come_as_png_and_svg_and_equal_points_make_equal_files(tmp_path):
    points = by_shape(of_methods("user_llm", "text_prompt"))
    files = draw_sweep(points, "seq_len", tmp_path / "one", ABOUT)
    assert kinds(files) == ["tokens", "reduction"]
    assert files[0].name == "sweep-seq_len-ml-1m-next_item-tokens.png"
    assert all(file.stat().st_size > 5_000 for file in files)
    assert not list((tmp_path / "one").glob(".*"))
    again = draw_sweep(points, "seq_len", tmp_path / "two", ABOUT)
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([Point("sasrec", {"seq_len": 10.0}, na="no such feature")], []),
        ([Point("sasrec", {"seq_len": 10.0})], []),
        (of_methods("sasrec"), ["quality", "latency", "frontier"]),
        (of_methods("user_llm"), ["quality", "tokens", "latency", "frontier"]),
        (of_methods("text_prompt"), ["quality", "tokens", "latency", "frontier"]),
        (by_shape(of_methods("user_llm", "text_prompt")), ["tokens", "reduction"]),
        (by_shape(of_methods("user_llm", "sasrec")), ["tokens"]),
        (
            [*of_methods("user_llm", lengths=(10,)), *of_methods("text_prompt", lengths=(50,))],
            ["quality", "tokens", "latency", "frontier"],
        ),
        (of_methods("user_llm", "text_prompt", lengths=(50,)), list(KINDS)),
    ],
)  # fmt: skip
def test_a_figure_without_numbers_is_left_out(points, expected, tmp_path, monkeypatch):
    def save(figure, path):
        assert figure.axes
        return [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]

    monkeypatch.setattr(plots_sweep, "save", save)
    assert kinds(draw_sweep(points, "seq_len", tmp_path, ABOUT)) == expected


def test_quality_has_a_panel_a_metric_and_a_line_a_method_at_the_values_measured():
    points = of_methods("user_llm", "text_prompt")
    figure = draw_quality(points, "seq_len", ABOUT)
    assert [panel.get_title("left") for panel in figure.axes] == ["recall@1", "recall@10"]
    for panel in figure.axes:
        metric = panel.get_title("left")
        for number, method in enumerate(("user_llm", "text_prompt")):
            own = [(p.axes["seq_len"], p.metrics[metric].value) for p in points
                   if p.method == method]  # fmt: skip
            assert drawn(panel)[colour(number), "-"] == own
        assert panel.get_xscale() == "log"
        assert sorted(panel.xaxis.get_majorticklocs()) == [10, 50, 200]
        whiskers = [path.vertices for found in panel.collections for path in found.get_paths()]
        assert len(whiskers) == len(points)
        ends = sorted(float(end) for own in whiskers for end in own[:, 1])
        intervals = [point.metrics[metric] for point in points]
        assert ends == pytest.approx(
            sorted(end for own in intervals for end in (own.low, own.high))
        )
    assert "whiskers: 95% interval over users" in told(figure)


def test_tokens_name_methods_without_a_language_model_and_draw_none_at_zero():
    points = of_methods("sasrec", "user_llm", "text_prompt")
    points.append(Point("unseen", {"seq_len": 10.0}, metrics=points[0].metrics))
    figure = draw_tokens(points, "seq_len", ABOUT)
    (panel,) = figure.axes
    assert drawn(panel) == {
        (colour(1), "-"): [(length, 32.0) for length in LENGTHS],
        (colour(2), "-"): [(length, 12.5 * length) for length in LENGTHS],
    }
    assert panel.get_yscale() == "log"
    assert "sasrec: no language model" in told(figure)
    assert "unseen: not measured" in told(figure)


def test_truncated_points_have_open_markers_and_the_legend_says_how_much():
    points = of_methods("user_llm", "text_prompt")
    cut = {"truncated_users": 0.25, "dropped_events": 10.0}
    points[-1] = make_point("text_prompt", 200, **cut)
    for draw in (draw_quality, draw_tokens, draw_reduction, draw_latency, draw_frontier):
        figure = draw(points, "seq_len", ABOUT)
        # A quarter of the users lost all that was lost: 40 events each.
        assert "truncated: 25% of users lost 40 events on average" in told(figure)
        marks = [line for panel in figure.axes for line in panel.lines
                 if line.get_markerfacecolor() == "white" and len(line.get_xdata())]  # fmt: skip
        assert marks
        assert all(len(line.get_xdata()) == 1 for line in marks)
        assert {line.get_markeredgecolor() for line in marks} == {colour(1)}
    points[-2] = make_point("text_prompt", 50, truncated_users=0.1, dropped_events=1.0)
    figure = draw_tokens(points, "seq_len", ABOUT)
    said = "truncated: up to 25% of users lost 40 events on average (text_prompt at 200)"
    assert said in told(figure)
    whole = draw_tokens(of_methods("user_llm", "text_prompt"), "seq_len", ABOUT)
    assert "truncated" not in " ".join(told(whole))


def test_ratios_are_those_of_the_points():
    points = of_methods("user_llm", "text_prompt", "text_prompt_titles", "sasrec")
    figure = draw_reduction(points, "seq_len", ABOUT)
    (panel,) = figure.axes
    places = {(own.method, own.axes["seq_len"]): own.cost for own in points}
    found = [list(zip(*line.get_data(), strict=True)) for line in panel.lines]
    for method in ("text_prompt", "text_prompt_titles"):
        for field in ("prompt_flops", "llm_prompt_flops", "answer_flops"):
            ratios = [
                getattr(places[method, n], field) / getattr(places["user_llm", n], field)
                for n in LENGTHS
            ]
            assert list(zip(LENGTHS, ratios, strict=True)) in found
    assert len(found) == 7
    assert [STUDY, STUDY] in [list(line.get_ydata()) for line in panel.lines]
    assert "the study's best, 78.1" in told(figure)
    assert "sasrec" not in " ".join(told(figure))
    # 10 and 4 Mflop an event over 30 Mflop and 0.1 an event, encoder included.
    numbers = {text.get_text() for text in panel.texts}
    assert numbers == {"3.23", "14.3", "40", "1.29", "5.71", "16"}


def test_frontiers_and_curves_stand_at_the_numbers():
    points = [
        make_point("user_llm", 10, 0.3, answer_flops=1e8, training_flops=5e12),
        make_point("sasrec", 10, 0.2, answer_flops=1e6, training_flops=1e12),
        make_point("text_prompt", 10, 0.1, answer_flops=1e9, training_flops=9e12),
        make_point("popularity", 10, 0.05, answer_flops=0.0, training_flops=0.0),
    ]
    figure = draw_frontier(points, "seq_len", ABOUT)
    for panel, cheap, dear in zip(figure.axes, (1e6, 1e12), (1e8, 5e12), strict=True):
        assert panel.get_xscale() == "log"
        (step,) = (line for line in panel.lines if line.get_drawstyle() == "steps-post")
        # What costs nothing stands left of everything else.
        (edge, *xs), ys = step.get_data()
        assert 0 < edge < cheap
        assert (list(xs), list(ys)) == ([cheap, dear], [0.05, 0.2, 0.3])
        assert {text.get_text() for text in panel.texts} == {"10"}
    left, right = figure.axes
    curves = [line for line in right.lines if line.get_gid() == "curve"]
    assert len(curves) == len(points)
    assert not [line for line in left.lines if line.get_gid() == "curve"]
    assert "left edge: no FLOPs" in told(figure)
    assert "recall@10 on validation while training" in told(figure)
    # Another metric is not what validation watched.
    first = About("next_item", "ml-1m", ("recall@1",), "")
    figure = draw_frontier(points, "seq_len", first)
    assert not [line for line in figure.axes[1].lines if line.get_gid() == "curve"]


def test_two_axes_have_a_line_a_pair_and_who_does_not_depend_on_one_is_drawn_once():
    about = About("next_item", "ml-1m", ("recall@10",), "", other="latents")
    points = [
        make_point("user_llm", length, 0.1 + 0.01 * latents, axes={"latents": latents})
        for latents in (1, 4)
        for length in LENGTHS
    ]
    points += [make_point("text_prompt", length) for length in LENGTHS]
    figure = draw_quality(points, "seq_len", about)
    assert sorted(drawn(figure.axes[0])) == sorted(
        [(colour(0), "-"), (colour(0), "--"), (colour(1), "-")]
    )
    expected = ["user_llm", "text_prompt, at any value", "latents=1", "latents=4"]
    assert [entry for entry in told(figure) if entry in expected] == expected
    ratios = draw_reduction(points, "seq_len", about)
    assert [panel.get_title("left") for panel in ratios.axes] == ["latents=1", "latents=4"]
    assert all(len(panel.lines) == 4 for panel in ratios.axes)
    # Along the other axis the text prompt is a flat line.
    alone = [make_point("text_prompt", 50)]
    alone[0] = Point("text_prompt", {}, alone[0].cost, alone[0].metrics)
    along = [Point("user_llm", {"latents": n}, points[0].cost, points[0].metrics) for n in (1, 4)]
    about = About("next_item", "ml-1m", ("recall@10",), "")
    (panel,) = draw_quality([*along, *alone], "latents", about).axes
    assert drawn(panel)[colour(1), "-"] == [(1, 0.2), (4, 0.2)]
    assert draw_reduction([*along, *alone], "latents", about) is not None


def test_points_without_numbers_are_named():
    points = of_methods("user_llm", "text_prompt")
    points[-1] = Point("text_prompt", {"seq_len": 200.0}, na="out of memory")
    points[-2] = Point("text_prompt", {"seq_len": 50.0}, na="out of memory")
    figure = draw_quality(points, "seq_len", ABOUT)
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "no numbers: text_prompt at 50, 200 (out of memory)" in texts


def make_crowd():
    points = of_methods(
        "user_llm", "text_prompt", "text_prompt_titles", *OTHERS, "recbole/LongName"
    )
    cut = {"truncated_users": 0.25, "dropped_events": 10.0}
    return [*points, make_point("text_prompt", 1000, **cut), make_point("sasrec", 1000)]


@pytest.mark.parametrize(
    "points",
    [make_crowd(), of_methods("user_llm", "text_prompt", lengths=(50,)), of_methods("user_llm")],
    ids=["many methods", "one value", "one method"],
)
@pytest.mark.parametrize(
    "draw", [draw_quality, draw_tokens, draw_reduction, draw_latency, draw_frontier]
)
def test_nothing_is_cut_off_or_covered(points, draw):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    said = ("validation targets of 6,040 users, " * 6, "rows by different code " * 3)
    about = About(ABOUT.task, ABOUT.dataset, ABOUT.metrics, *said)
    figure = draw(points, "seq_len", about)
    if figure is None:
        assert draw is draw_reduction
        return
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    tight = figure.get_tightbbox(renderer)
    width, height = figure.get_size_inches()
    assert tight.x0 >= -0.01
    assert tight.y0 >= -0.01
    assert tight.x1 <= width + 0.01
    assert tight.y1 <= height + 0.01
    panels = [panel.get_tightbbox(renderer) for panel in figure.axes]
    header = [text.get_window_extent(renderer) for text in figure.texts]
    legend = figure.legends[0].get_window_extent(renderer)
    assert all(panel.y1 <= min(box.y0 for box in header) for panel in panels)
    assert all(panel.y0 >= legend.y1 - 1 for panel in panels)
    for n, panel in enumerate(panels):
        assert all(not panel.overlaps(other) for other in panels[:n])
    for panel in figure.axes:
        labels = [own.get_window_extent(renderer) for own in panel.get_xticklabels()
                  if own.get_text()]  # fmt: skip
        assert all(not a.overlaps(b) for n, a in enumerate(labels) for b in labels[:n])


def test_methods_look_the_same_in_all_figures():
    points = make_crowd()
    looks = {}
    for draw in (draw_quality, draw_tokens, draw_latency, draw_frontier):
        (legend,) = draw(points, "seq_len", ABOUT).legends
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            name = re.sub(r":.*", "", text.get_text())
            if name in {own.method for own in points}:
                looks.setdefault(name, set()).add((handle.get_color(), handle.get_marker()))
    assert all(len(own) == 1 for own in looks.values())
    assert len({next(iter(own)) for own in looks.values()}) == len(looks) == 8


def test_a_legend_is_as_wide_as_it_may_be():
    assert in_columns(["one", "two"], 9.0) == (2, 1)
    assert in_columns(["x" * 60, "two\nlines", "three"], 6.0) == (2, 3)
    assert in_columns(["x" * 200], 1.0) == (1, 1)


def test_figures_of_a_sweep_import_no_torch():
    code = "import benchmark.plotting.sweep, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_of_one_value_every_ratio_says_what_it_counts():
    points = of_methods("user_llm", "text_prompt", lengths=(50,))
    (panel,) = draw_reduction(points, "seq_len", ABOUT).axes
    # 500 Mflop over 35 and over 30, and 530 over 65.
    assert {text.get_text() for text in panel.texts} == {
        "14.3 encoder included", "16.7 language model alone", "8.15 decoding included",
    }  # fmt: skip


def test_titles_say_the_task_in_words_and_whiskers_only_where_there_are_any():
    points = of_methods("user_llm", "text_prompt")
    for draw in (draw_quality, draw_tokens, draw_latency, draw_reduction, draw_frontier):
        assert draw(points, "seq_len", ABOUT).texts[0].get_text().startswith("Next item on ml-1m: ")
    plain = [
        replace(own, cost=own.cost.model_copy(update={"latency_seconds_p95": None}))
        for own in points
    ]
    assert any("95th" in line for line in told(draw_latency(points, "seq_len", ABOUT)))
    assert not any("95th" in line for line in told(draw_latency(plain, "seq_len", ABOUT)))


def test_thin_lines_of_the_reduction_lie_on_the_thick_one_with_a_rim():
    (panel,) = draw_reduction(of_methods("user_llm", "text_prompt"), "seq_len", ABOUT).axes
    lines = [line for line in panel.lines if line.get_color() == colour(1)]
    thick = max(lines, key=lambda line: line.get_linewidth())
    thin = [line for line in lines if line.get_linewidth() < 2]
    assert len(thin) == 2
    assert all(line.get_zorder() > thick.get_zorder() and line.get_path_effects() for line in thin)
