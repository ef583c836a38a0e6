"""How figures look: the colour of a variant is its own, and equal figures are equal files."""

import itertools
import re

import numpy as np
import pytest
import yaml
from matplotlib import colors, image, pyplot

from bench import covariance
from bench.report.figures import style
from tests.helpers.runs import ROOT

# What readers see who lack one kind of cone: Machado, Oliveira & Fernandes 2009, table 1, severity
# 1.0, on linear RGB.
BLIND = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
NOTICED = 2.3  # the just noticeable difference in CIELAB (Mahy et al. 1994)


def seen(colour, matrix):
    """CIELAB of a colour as a reader sees it."""
    rgb = np.array(colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(matrix) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def default_rows():
    """The rows of the default experiment."""
    processes = yaml.safe_load((ROOT / "params.yaml").read_text())["processes"]
    return {name for section in processes.values() for name in section["variants"]}


def test_every_variant_of_this_folder_has_a_look_of_its_own():
    own = {
        name: variant.look
        for name, variant in covariance.VARIANTS.items()
        if type(variant).__module__.startswith("bench.covariance") and "-" not in name
    }
    assert None not in own.values()
    assert len(set(own.values())) == len(own) > 20


@pytest.mark.parametrize("kind", BLIND)
def test_default_rows_are_told_apart_by_the_colour_blind(kind):
    """Two rows of the default experiment have other markers, and other colours are seen as such:
    they are apart by three just noticeable differences.
    """
    looks = {name: covariance.get(name).look for name in default_rows()}
    for one, other in itertools.combinations(looks, 2):
        (colour, marker), (other_colour, other_marker) = looks[one], looks[other]
        assert marker != other_marker, (one, other)
        if colour != other_colour:
            apart = np.linalg.norm(seen(colour, BLIND[kind]) - seen(other_colour, BLIND[kind]))
            assert apart > 3 * NOTICED, (one, other, apart)


def test_a_row_looks_the_same_whatever_is_drawn_beside_it():
    """Registered, of another package, or a solver."""
    alone = {name: style.looks([name])[name] for name in ("npr", "beta", "mine", "heun")}
    assert style.looks(alone) == alone
    assert alone["npr"] == {"color": "#009E73", "marker": ">"}
    assert style.looks(["one_more", *alone])["npr"] == alone["npr"]


def test_no_two_rows_of_a_figure_look_the_same():
    family = [f"mle_rank-{rank}" for rank in (1, 2, 4, 8, 16)]
    solvers = [f"solver_{number}" for number in range(40)]
    rows = [*covariance.VARIANTS, *family, *solvers]
    looks = style.looks(rows)
    assert len({tuple(look.values()) for look in looks.values()}) == len(set(rows))


def test_equal_figures_are_equal_files_with_letters(tmp_path):
    """And as wide as a page."""
    for name in ("one", "other"):
        figure, axes = style.panels(1, 2)
        axes[0][0].plot([1, 2], [3, 4], label="curve")
        axes[0][0].set_xlabel("E‖ε̂‖²")
        style.legend(figure, style.looks(["npr"]))
        style.save(figure, [tmp_path / f"{name}.{kind}" for kind in style.FORMATS])
    for kind in style.FORMATS:
        one, other = (tmp_path / f"{name}.{kind}" for name in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()
    drawn = (tmp_path / "one.svg").read_text()
    assert re.search(r">\s*E‖ε̂‖²\s*</text>", drawn) and re.search(r">\s*npr\s*</text>", drawn)
    assert image.imread(tmp_path / "one.png").shape[1] == style.WIDTH * style.DPI
    assert not pyplot.get_fignums()


def test_an_axis_has_labels_where_there_is_room():
    figure, [[axis]] = style.panels(1, 1)
    axis.plot([5, 6, 10, 1000], [1, 2, 3, 4])
    style.log_axis(axis, [5, 6, 10, 1000])
    assert [text.get_text() for text in axis.get_xticklabels()] == ["5", "10", "1000"]
