"""Sentences, tables and figure of the chapter on the projection, from tables that are made up."""

from fractions import Fraction

import numpy as np
import pandas as pd

from lox.book.chapters.projection import page

TIMING = pd.DataFrame(
    {"spectrum": ["1 / i", "flat"], "seconds": 0.01, "full": 1.0, "faster": 100.0, "certified": [5e-5, 0.0]}
)


def matrices(r, random):
    return pd.DataFrame(
        {"kind": "q_proj", "r_align": r, "energy": np.square(r), "numbers": 0.1, "random": random}
    )


def test_what_is_held_against_chance():
    text = page.finding(matrices([0.8, 0.6], [0.3, 0.3]), TIMING.assign(measured=0.0), 6, 512).data
    assert "= 0.70 of the norm" in text and "50 % of its energy" in text and "10 % of its numbers" in text
    assert "holds more in all of 2 matrices" in text
    assert (
        "finds the top 6 directions of 2 made-up 512 × 512 matrices" in text
        and "exceeds the certificate in none of them" in text
    )


def test_where_chance_holds_as_much_and_a_certificate_is_broken():
    text = page.finding(matrices([0.2, 0.6], [0.3, 0.3]), TIMING.assign(measured=[1e-3, 0.0]), 6, 512).data
    assert "holds more in 1 of 2 matrices" in text
    assert "exceeds the certificate in 1 of them" in text


def test_fractions_are_formulas():
    shown = page.exact({"P": np.array([[Fraction(4, 9), Fraction(2)], [Fraction(0), 1]])}).data
    assert r"P = \begin{pmatrix} \tfrac{4}{9} & 2 \\ 0 & 1 \end{pmatrix}" in shown


def test_tables_are_short_and_the_figure_is_labelled():
    kept = page.means_by_kind(matrices([0.8], [0.3])).data
    assert "| q " in kept and "0.64" in kept and "energy, R²" in kept
    assert "1e+02" not in page.timing(TIMING.assign(measured=0.0)).data
    spectra = pd.DataFrame(
        {"kind": ["q_proj"] * 2 + ["random"] * 2, "i": [1, 2] * 2, "share": [0.9, 0.2, 0.6, 0.5]}
    )
    (axes,) = page.spectrum(spectra).axes
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["q", "random"]
    assert axes.get_xscale() == axes.get_yscale() == "log"
