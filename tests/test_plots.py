"""Marks say what to draw, matplotlib draws just that, and pyplot never hears of it."""

import io
import itertools
import math

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toysup import plots
from toysup.marks import Arrows, Bars, Curves, Heat, Plot, Points, calm, pack

X = np.geomspace(0.01, 1, 20)
PLOTS = [
    Plot(
        "arrows",
        Arrows([[1.0, 0.0, 0.01], [0.0, -1.2, 0.0]], weights=[1, 0.5, 1], hidden=[0.2, 0.3], hidden_labels=["h"]),
    ),
    Plot("grouped", Arrows(np.eye(2), groups=[0, 1], group_labels=["A", "B"], circle=False, limit=2)),
    Plot("heat", Heat([[1.0, -0.5], [0.004, 0.25]], limit=1, x="column", y="row")),
    Plot("large", Heat(np.eye(40))),
    Plot("bars", Bars([0.5, -0.25], reference=0.4, reference_label="bound", y="D", x="feature")),
    Plot("many bars", Bars(np.linspace(0, 1, 90), groups=np.arange(90) % 2, group_labels=["even", "odd"])),
    Plot(
        "curves",
        Curves(X, [X, X**2], labels=["one", "two"], marker=0.1, log_x=True, log_y=True, x_label="p", y_label="loss"),
    ),
    Plot("points", Points(X, -X, groups=np.arange(20) % 3, group_labels=["a", "b", "c"], highlight=2, equal=True)),
]


def axes(plot):
    figure = plots.figure(plot)
    figure.canvas.draw()
    return figure.axes[0]


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.title)
def test_every_mark_draws_and_is_small(plot):
    data = plots.png(plot)
    assert data.startswith(b"\x89PNG")
    assert len(data) < 25_000
    assert len(np.unique(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_a_row_of_plots_is_drawn_the_same_way_each_time_and_in_exact_colours():
    first, again = plots.png(PLOTS[:4]), plots.png(PLOTS[:4])
    assert first == again
    image = np.asarray(Image.open(io.BytesIO(first)).convert("RGB")).reshape(-1, 3)
    for colour in ((255, 255, 255), (0, 114, 178)):
        assert (image == colour).all(1).sum() > 30


def test_pyplot_and_its_settings_stay_untouched():
    import matplotlib.pyplot as plt

    before, settings = plt.get_fignums(), dict(matplotlib.rcParams)
    plots.show(PLOTS).png()
    assert plt.get_fignums() == before
    assert dict(matplotlib.rcParams) == settings


def test_arrows_end_at_the_columns_and_vanished_features_are_named():
    ax = axes(PLOTS[0])
    tips = {tuple(line.get_xydata()[-1]) for line in ax.lines if len(line.get_xydata()) == 2}
    assert {(1.0, 0.0), (0.0, -1.2), (0.01, 0.0)} <= tips
    assert [t.get_text() for t in ax.texts] == ["h", "0", "1", "at 0: 2"]


def test_arrows_that_coincide_share_a_label_and_neighbours_keep_apart():
    ax = axes(Plot("", Arrows([[1, 1, 1, 1.0], [0, 0, 0, 0.12]])))
    labels = {t.get_text(): np.array(t.get_position()) for t in ax.texts}
    assert set(labels) == {"0, 1, 2", "3"}
    assert np.abs(labels["0, 1, 2"] - labels["3"]).max() > 0.1


def test_arrows_without_names_get_none_where_they_coincide_or_vanish():
    nameless = Arrows(np.array([[1.0, 1.0, 0, 0], [0, 0, 0, 0]]), labels=["", "", "", "d"])
    assert [text.get_text() for text in axes(Plot("W", nameless)).texts] == ["at 0: d"]


def test_heat_writes_its_numbers_and_colours_by_sign():
    ax = axes(PLOTS[2])
    assert [t.get_text() for t in ax.texts] == ["1.00", "−0.50", "0.00", "0.25"]
    red, _, blue = ax.collections[0].get_facecolors()[0, :3]
    assert red > blue
    red, _, blue = ax.collections[0].get_facecolors()[1, :3]
    assert red < blue


def test_a_zero_matrix_and_zero_bars_draw():
    assert plots.png([Plot("", Heat(np.zeros((3, 3)))), Plot("", Bars(np.zeros(3)))])


def test_bars_have_the_heights_of_the_values():
    ax = axes(Plot("", Bars([0.5, -0.25, 3.0], limits=(-1, 1))))
    assert [p.get_height() for p in ax.patches[:3]] == [0.5, -0.25, 1.0]
    assert [t.get_text() for t in ax.texts] == ["0.50", "−0.25", "3.00"]


@pytest.mark.parametrize("labels", [["clean", "attacked", "axes, clean", "axes, attacked"], ["a", "b", "c"]])
def test_the_names_of_bars_stand_apart(labels):
    ax = axes(Plot("", Bars(np.ones(len(labels)), labels=labels)))
    boxes = [text.get_window_extent() for text in ax.get_xticklabels()]
    assert [text.get_text().strip() for text in ax.get_xticklabels()] == labels
    assert len({text.get_text().startswith("\n") for text in ax.get_xticklabels()}) == (2 if len(labels) == 4 else 1)
    for first, second in itertools.pairwise(boxes[::2] if len(labels) == 4 else boxes):
        assert first.x1 < second.x0


@pytest.mark.parametrize("x", [-1.5, 0.0, 1.0, 1.5])
def test_the_name_of_a_hidden_point_stays_within_the_picture(x):
    ax = axes(Plot("", Arrows(np.eye(2), hidden=[x, 0.5], hidden_labels=["attacked"], limit=1.6)))
    box = next(text for text in ax.texts if text.get_text() == "attacked").get_window_extent()
    assert ax.bbox.x0 <= box.x0 + 2
    assert box.x1 <= ax.bbox.x1 + 2


def test_a_curve_keeps_its_gap_and_its_marker_lies_on_it():
    ax = axes(Plot("", Curves([1, 2, 3, 4], [2.0, 4.0, np.nan, 1.0], marker=1.5)))
    assert np.isnan(ax.lines[0].get_ydata()).tolist() == [False, False, True, False]
    assert ax.lines[-1].get_xydata().tolist() == [[1.5, 3.0]]


def test_each_group_has_its_own_colour_and_shape():
    ax = axes(PLOTS[7])
    looks = {(tuple(c.get_facecolors()[0]), len(c.get_paths()[0].vertices)) for c in ax.collections}
    assert len(looks) == 3
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_a_picture_is_harmless_text_and_writes_files(tmp_path):
    picture = plots.show(PLOTS[0], "line")
    assert repr(picture) == "Picture: arrows"
    picture.save(tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_packed_numbers_come_back():
    structure, data = pack(PLOTS)
    numbers = np.frombuffer(data, "<f4")
    for plot, fields in zip(PLOTS, structure, strict=True):
        assert fields["kind"] == type(plot.mark).__name__.lower()
        for name, value in fields.items():
            if isinstance(value, dict):
                array = numbers[value["at"] : value["at"] + math.prod(value["shape"])].reshape(value["shape"])
                np.testing.assert_array_equal(array, getattr(plot.mark, name).astype("f4"))


def test_marks_keep_their_own_numbers():
    W = np.eye(2)
    mark = Arrows(W)
    W[:] = 7
    assert mark.W.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        mark.W[0] = 3


@given(st.floats(1e-30, 1e30))
def test_calm_limits_hold_the_value_closely(value):
    assert value * (1 - 1e-8) <= calm(value) <= 1.34 * value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Arrows(np.eye(3)), r"W must have shape \(2, n\)"),
        (lambda: Arrows([[1, math.nan], [0, 0]]), "W must be finite, got nan"),
        (lambda: Arrows(np.eye(2), labels=["a"]), "labels must be 2 strings"),
        (lambda: Arrows(np.eye(2), labels="ab"), "labels must be 2 strings"),
        (lambda: Arrows(np.eye(2), weights=[0, 2]), r"weights must lie in \[0, 1\]"),
        (lambda: Arrows(np.eye(2), limit=0), "limit must be positive"),
        (lambda: Arrows(np.eye(2), group_labels=["A"]), "group_labels need groups"),
        (lambda: Heat([1, 2]), "matrix must be a matrix"),
        (lambda: Heat([["a"]]), "matrix must be numbers"),
        (lambda: Bars([1, 2], limits=(1, 3)), "limits must enclose 0"),
        (lambda: Bars([1, math.inf]), "values must be finite, got inf"),
        (lambda: Bars([1, 2], groups=[0, 0.5]), "groups must be integers"),
        (lambda: Bars([1, 2], reference=math.nan), "reference must be finite"),
        (lambda: Curves([1, 2], [1, 2, 3]), "ys must have shape"),
        (lambda: Curves([2, 1], [1, 2]), "x must increase"),
        (lambda: Curves([0, 1], [1, 2], log_x=True), "logarithmic axis needs positive values"),
        (lambda: Curves([1, 2], [1, 2], limits_y=(2, 1)), "limits_y must be"),
        (lambda: Points([1, 2], [1]), "y must have 2 values"),
        (lambda: Points([1, 2], [1, 2], highlight=2), "highlight must be the index"),
    ],
)
def test_errors_name_the_argument_and_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_only_plots_are_drawn():
    with pytest.raises(TypeError, match="must be a Plot or a list of them, got Heat"):
        plots.show([Heat(np.eye(2))])
    with pytest.raises(TypeError, match="mark must be one of Arrows, Heat"):
        Plot("W", np.eye(2))
