import html.parser
import re

import numpy as np
import pytest

from jaxviz import report

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Document(html.parser.HTMLParser):
    """The tags of a page; fails where one is not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def picture(name, alt="a grey square"):
    return report.Picture(name, np.full((3, 4, 3), 99, np.uint8), alt)


def page(**changes):
    block = report.Gallery(
        [
            report.Figure([picture("one"), picture("two", 'a "quoted" <b>alt</b>')], "first"),
            report.Figure([picture("three")], "<script>alert(1)</script>", note="a & b"),
        ],
        title="A gallery",
        legends=[
            report.Legend(entries=[("circle", (1.0, 0.5, 0.0))]),
            report.Legend(scale=[(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)], low="0", high="1"),
        ],
    )
    table = report.Table(["class", "probability"], [["<i>hen", "91.2 %"]], caption="Top")
    parts = {
        "title": "A run",
        "sections": [report.Section("Maps", [block, table], ["Words."]), report.Section("B", [])],
        "lead": "Lead.",
        "facts": [("Model", "vgg16")],
        "footer": "End.",
    }
    return report.Page(**(parts | changes))


def test_page_is_whole_and_every_picture_has_its_words():
    document = Document(report.render(page()))
    images = document.all("img")
    assert [image["alt"] for image in images] == [
        "a grey square",
        'a "quoted" <b>alt</b>',
        "a grey square",
    ]
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert len(document.all("figcaption")) == 2
    assert {"h1", "h2", "h3", "table", "caption", "main"} <= {tag for tag, _ in document.tags}
    for word in ("A run", "Lead.", "vgg16", "Words.", "91.2 %", "circle", "End."):
        assert word in document.text


def test_texts_are_escaped():
    text = report.render(page(title="</title><script>"))
    document = Document(text)
    assert not document.all("script")
    assert "<script>alert(1)</script>" in document.text


def test_page_refers_to_nothing_outside_itself():
    text = report.render(page())
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\.png\"", text)
    document = Document(text)
    anchors = {a["id"] for _, a in document.tags if "id" in a}
    assert all(a["href"].startswith("#") and a["href"][1:] in anchors for a in document.all("a"))
    assert "prefers-color-scheme: dark" in text


def test_the_pictures_of_the_page_are_the_files():
    import base64
    import io

    from PIL import Image

    source = Document(report.render(page())).all("img")[0]["src"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    np.testing.assert_array_equal(pixels, picture("one").pixels)


def test_names_are_files_and_differ():
    gallery = report.Gallery([report.Figure([picture("one"), picture("one")], "twice")])
    with pytest.raises(ValueError, match=r"given twice: \['one'\]"):
        report.render(report.Page("t", [report.Section("s", [gallery])]))
    with pytest.raises(ValueError, match=r"'\.\./x'.*file_stem"):
        picture("../x")
    with pytest.raises(ValueError, match="alt text"):
        picture("x", alt=" ")


def test_cells_with_numbers_stand_to_the_right():
    cells = Document(report.render(page())).all("td")
    assert [cell.get("class") for cell in cells] == [None, "number"]
