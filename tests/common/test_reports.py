"""All reports have one interface: print, text, dict, Markdown and HTML, with the same contents."""

import html.parser
import json
import re

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg import results
from kerasreg._common.report import Report
from kerasreg._common.sheet import Sheet, left, right

# All that could break a table, a page or a terminal; no slash, which separates paths.
HOSTILE = "größe|<b>&*[bold]`x"


def reports():
    x = keras.Input((4,), name="x")
    y = layers.Dense(6, "relu", name=HOSTILE, kernel_regularizer=keras.regularizers.L1(0.1))(x)
    model = keras.Model(x, layers.Dense(2, name="last")(y), name="net|<i>")
    plan = kerasreg.prune(model, 0.5, pattern="unit", exclude="last/kernel")
    small, shrunk = kerasreg.shrink(model)
    run = results.Latency(2e-3, 1e-3, 3e-3)
    latency = results.LatencyComparison(run, run, 8)
    # Compiled steps of TensorFlow refuse such names.
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_regularizer="l1")])
    plain.compile("sgd", "mse")
    return [
        plan,
        shrunk.with_latency(latency),
        latency,
        kerasreg.coupled_groups(small),
        kerasreg.statistics(model),
        kerasreg.polish(plain, np.ones((4, 4)), np.ones((4, 2)), epochs=1),
        results.SizeReport("a|b", {HOSTILE: results.Size(HOSTILE, None, None, "a\nb <c>")}),
    ]


class Page(html.parser.HTMLParser):
    """The cells and notes of a page, and whether its tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.tags = [], [], set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "br":
            self.texts[-1] += "\n"
            return
        self.open.append(tag)
        if tag in ("th", "td", "li", "caption"):
            self.texts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts[-1] += data


@pytest.fixture(scope="module")
def all_reports():
    return reports()


def contents(sheet):
    cells = [name for name, _ in sheet.columns]
    for row in [*sheet.rows, *([sheet.total] if sheet.total else [])]:
        cells += row
    return cells, list(sheet.notes)


def unescaped(markdown):
    text = re.sub(r"\\([\\|*`])", r"\1", markdown)
    return text.replace("&lt;", "<").replace("&amp;", "&")


def test_every_report_has_the_base_class(all_reports):
    tables = {type(each) for each in all_reports}
    public = {getattr(results, name) for name in results.__all__} - {Report}
    assert {each for each in public if issubclass(each, Report)} == tables
    # What has an interface of its own is none of the base.
    assert not [each for each in public - tables if hasattr(each, "print")]
    with pytest.raises(TypeError, match="abstract"):
        Report()


def test_print_shows_the_text(all_reports, capsys):
    for each in all_reports:
        texts = []
        each.print(texts.append)
        assert texts == [str(each)]
        each.print(print_fn=None)
        assert capsys.readouterr().out.split() == str(each).split()
        assert "\x1b" not in str(each)
        cells, notes = contents(each._sheet(10_000))
        for text in [each._sheet().title, *cells, *notes]:
            for line in text.splitlines():
                assert line.strip() in str(each), type(each)


def test_summary_prints_the_statistics():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    texts = []
    kerasreg.summary(model, print_fn=texts.append)
    assert texts == [str(kerasreg.statistics(model))]


def test_the_dict_can_be_written_as_json(all_reports):
    for each in all_reports:
        values = each.to_dict()
        assert values
        assert json.loads(json.dumps(values, allow_nan=False)) == values, type(each)


def test_markdown_is_one_table_with_all_rows(all_reports):
    for each in all_reports:
        sheet = each._sheet()
        table, _, rest = each.to_markdown().partition("\n\n")
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
        assert {len(line) for line in lines} == {len(sheet.columns)}, type(each)
        assert len(lines) == 2 + len(sheet.rows) + (sheet.total is not None)
        assert all(re.fullmatch(r" ---:? ", cell) for cell in lines.pop(1))
        cells, notes = contents(sheet)
        found = [unescaped(cell.strip()) for line in lines for cell in line]
        assert found == [" ".join(cell.splitlines()) for cell in cells]
        assert rest.count("\n- ") + bool(rest) == len(notes)
        # Outside of code, no tag and no emphasis.
        assert not re.search(r"<\w|(?<!\\)\*", re.sub(r"(?<!\\)`[^`]*`", "", table + rest))


def test_html_has_all_cells_and_notes(all_reports):
    for each in all_reports:
        text = each._repr_html_()
        page = Page(text)
        assert not page.open
        cells, notes = contents(each._sheet())
        assert sorted(page.texts) == sorted([each._sheet().title, *cells, *notes])
        tags = {"div", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"}
        assert page.tags <= tags | {"ul", "li", "br"}
        # Light and dark pages keep their colours.
        assert not re.search(r"(?<!-)\b(color|background)\b", text.replace("currentColor", ""))


def test_nan_and_infinity_become_none():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((1, 1), np.nan)])
    (row,) = kerasreg.statistics(model).to_dict()["variables"].values()
    assert (row["l1"], row["max"], row["nonfinite"], row["shape"]) == (None, None, 1, [1, 1])


def test_notes_keep_their_code():
    sheet = Sheet("t", (*left("a"), *right("b")), [("x", "1")], notes=("`a|b` *c* <d>",))
    assert sheet.markdown().endswith("\n\n- `a|b` \\*c\\* &lt;d>")
    assert "| --- | ---: |" in sheet.markdown()
