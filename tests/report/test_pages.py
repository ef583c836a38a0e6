"""Pages for the report: whole HTML that needs no network."""

from html.parser import HTMLParser

import pandas

from bench.report import pages


class Reader(HTMLParser):
    """Collects the cells of tables, and addresses that a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.loads, self.tag = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data):
        if self.tag in ("th", "td", "strong"):
            self.cells[-1] += data.strip()


def test_a_table_is_a_page():
    frame = pandas.DataFrame({"variant": ["npr", "sn"], "K": [1.23456789, None]})
    text = pages.markdown(frame, "Table 2")
    page = Reader(pages.page(text, "table2"))
    assert page.cells == ["variant", "K", "npr", "1.23457", "sn", ""]
    assert page.loads == []


def test_names_of_others_are_no_markup():
    """A variant of another package may be called anything."""
    text = "| variant |\n|---|\n| **<script>alert(1)</script>** |\n"
    found = pages.page(text, "table1")
    assert "<script>alert" not in found and "&lt;script&gt;alert(1)" in found
