from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from lox.book import sweep_plot, sweeps
from lox.book.sweeps import Cell

EXAMPLE = Path(__file__).parents[2] / "workflow" / "robustness.csv"
HEADER = "notebook,profile,tasks,k,alpha,seeds\n"


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "sweep.csv"
    path.write_text(header + "\n".join(rows) + "\n")
    return path


def test_the_example_is_of_cells_that_share_stages():
    cells = sweeps.read(EXAMPLE).values()
    assert {(cell.notebook, cell.profile) for cell in cells} == {("robustness", "toy")}
    assert len({cell.values["tasks"][0] for cell in cells}) == 1
    assert len(cells) == 18


def test_names_say_what_is_in_a_cell_and_differ_where_values_do(tmp_path):
    rows = ["robustness,toy,[alpaca],3,0.5,[1]", "robustness,toy,[alpaca],'3',0.5,[1]", "robustness,toy,,,,"]
    number, text, default = sweeps.read(written(tmp_path, *rows))
    assert number.startswith("robustness-toy-tasksalpaca-k3-alpha0.5-seeds1-")
    assert number[:-8] == text[:-8] and number != text  # k may be 3 or "3": alike to read, not the same
    assert default.startswith("robustness-toy-") and "alpha" not in default


def test_names_of_long_values_fit_a_file_system(tmp_path):
    rows = [f'robustness,toy,"{list(range(1, n))}"' for n in (40, 41)]
    names = list(sweeps.read(written(tmp_path, *rows, header="notebook,profile,seeds\n")))
    assert len(set(names)) == 2 and all(len(name) < 120 for name in names)


def test_arguments_are_those_of_lox_run():
    cell = Cell("robustness", "toy", (("tasks", "[gsm8k, alpaca]"), ("k", "full"), ("alpha", "")))
    assert cell.arguments == "robustness --profile toy -p tasks '[gsm8k, alpaca]' -p k full"


@pytest.mark.parametrize(
    "row, reason",
    [
        ("robustness,toy,[alpaca],3,strong,[1]", "line 3: parameter alpha is float | None, not 'strong'"),
        ("robustness,huge,,,,", "line 3: .*huge"),
        ("chapter,toy,,,,", "line 3: unknown notebook 'chapter'"),
        ("energy,toy,,,2,", "line 3: unknown parameter 'alpha'"),
        ("projection,toy,,,2,", r"line 3: notebook projection has no table of results, projection\.csv"),
        ("robustness,toy,[alpaca],3,0.5,[ 1 ]", "line 3: repeats the cell robustness-toy-"),
        ("robustness,toy,[gsm8k, alpaca],3,0.5,[1]", "line 3: not one value for each column"),
        ("robustness,toy", "line 3: not one value for each column"),
    ],
)
def test_a_bad_row_is_refused_by_its_line(tmp_path, row, reason):
    table = written(tmp_path, "robustness,toy,[alpaca],3,0.5,[1]", row)
    with pytest.raises(ValueError, match=r"sweep\.csv, " + reason):
        sweeps.read(table)


def test_a_table_without_rows_or_columns_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"sweep\.csv: no rows"):
        sweeps.read(written(tmp_path))
    with pytest.raises(ValueError, match=r"sweep\.csv: no column notebook and no column profile"):
        sweeps.read(written(tmp_path, "3", header="k\n"))


def test_gathered_rows_say_what_their_cell_was_given_and_keep_every_digit(tmp_path):
    cells = sweeps.read(
        written(
            tmp_path,
            "robustness,toy,,,,[1]",
            "energy,toy,,6,,",
        )
    )  # the order of columns is the sweep's, whichever row is the first to fill one
    texts = ["task,k,asr\nnone,,0.10\ngsm8k,6,0.123456\n", "layer,r_ft\n0,0.5\n"]
    for cell, text in zip(cells.values(), texts):
        path = (tmp_path / cell.executed).with_suffix(".csv")
        path.parent.mkdir(parents=True)
        path.write_text(text)
    first, second = cells
    expected = pd.DataFrame(
        {
            "cell": [first, first, second],
            "notebook": ["robustness", "robustness", "energy"],
            "given_profile": ["toy", "toy", "toy"],
            "given_tasks": ["", "", ""],
            "given_k": ["", "", "6"],
            "given_alpha": ["", "", ""],
            "given_seeds": ["[1]", "[1]", ""],
            "task": ["none", "gsm8k", ""],
            "k": ["", "6", ""],
            "asr": ["0.10", "0.123456", ""],
            "layer": ["", "", "0"],
            "r_ft": ["", "", "0.5"],
        }
    )
    assert_frame_equal(sweeps.gather(cells, tmp_path), expected)


@pytest.fixture
def gathered() -> pd.DataFrame:
    """Two values of k and of α, two seeds: each undefended model comes four times, as in a real sweep."""
    rows = []
    for k in (3, 6):
        for alpha in (0.5, 2.0):
            for seed in (1, 2):
                given = {"given_k": k, "given_alpha": alpha, "given_seeds": f"[{seed}]", "seed": seed}
                rates = {"asr": 0.5, "asr_low": 0.3, "asr_high": 0.8}
                rows.append(given | {"task": "alpaca", "defence": "none"} | rates)
                rows.append(given | {"task": "alpaca", "defence": "lox", "k": k, "alpha": alpha} | rates)
    return pd.DataFrame(rows)


def test_the_figure_shows_each_model_once_with_its_interval(gathered):
    figure = sweep_plot.attack_success(gathered)
    (axes,) = figure.axes
    drawn = {bars.get_label(): bars for bars in axes.containers}
    assert {name: len(bars.lines[0].get_xdata()) for name, bars in drawn.items()} == {
        "none": 2,
        "LoX, k 3": 4,
        "LoX, k 6": 4,
    }
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["–", "0.5", "2"]
    assert axes.get_xlabel() == "alpha" and axes.get_title(loc="left") == "Alpaca"
    segments = [segment for bars in drawn.values() for segment in bars.lines[2][0].get_segments()]
    assert all(segment[:, 1] == pytest.approx([0.3, 0.8]) for segment in segments)
    places = [x for bars in drawn.values() for x in bars.lines[0].get_xdata()]
    assert len(set(places)) == len(places), "no dot hides another"


def test_the_figure_of_a_sweep_over_seeds_alone_has_one_place(gathered):
    alone = gathered[(gathered["given_k"] == 3) & (gathered["given_alpha"] == 2)]
    (axes,) = sweep_plot.attack_success(alone).axes
    assert [bars.get_label() for bars in axes.containers] == ["none", "LoX"]
    assert axes.get_xlabel() == ""


def test_a_table_of_another_kind_has_no_figure(gathered):
    with pytest.raises(ValueError, match="the table has no column asr_low, asr_high"):
        sweep_plot.attack_success(gathered.drop(columns=["asr_low", "asr_high"]))
