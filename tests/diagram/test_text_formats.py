"""Formats that need no program: every port, Linen and Equinox, checked by their grammar."""

import re
from collections import Counter

import jax.numpy as jnp
import pytest

import ports
from jaxviz.diagram.architecture import architecture
from jaxviz.diagram.blocks import collapsed
from jaxviz.diagram.convnetdraw import script
from jaxviz.diagram.graph import Graph, Node
from jaxviz.diagram.mermaid import flowchart
from jaxviz.diagram.plotneuralnet import plotneuralnet
from jaxviz.diagram.prototxt import prototxt
from jaxviz.diagram.text import table
from jaxviz.diagram.tikz import tikz

SEQUENTIAL = {"alexnet", "zfnet", "shapes-plain", *(n for n in ports.names() if n[:3] == "vgg")}


@pytest.fixture(params=[*ports.names(), "linen", "equinox"])
def any_graph(request, port_graph):
    if request.param in ("linen", "equinox"):
        return architecture(*request.getfixturevalue(f"{request.param}_model"))
    return port_graph(request.param)


def test_table(any_graph):
    lines = table(any_graph, title="net").splitlines()
    assert lines[0] == f"net, input {any_graph.nodes[0].shape}"
    assert [line.split()[0] for line in lines[2:-1]] == [node.name for node in any_graph.nodes]
    assert lines[-1].startswith(f"{any_graph.parameters:,} parameters, ")
    assert max(map(len, lines)) < 200


MERMAID = re.compile(
    r"""  [ ]*(
      n\d+\["[^"<>]+(<br/>[^"<>]+)*"\]            # a node
    | n\d+\[\["[^"<>]+(<br/>[^"<>]+)*"\]\]        # one that stands for several
    | n\d+\ -->\ n\d+                             # an edge
    | subgraph\ \w+\["[^"<>]+"\] | end
    | classDef\ \w+\ fill:\#[0-9a-f]{6},stroke:\#555,color:\#000
    | class\ n\d+(,n\d+)*\ \w+
    )""",
    re.VERBOSE,
)


def test_mermaid(any_graph):
    graph = collapsed(any_graph)
    text = flowchart(graph, title='a "net"')
    lines = text.splitlines()
    assert lines[:4] == ["---", 'title: "a #34;net#34;"', "---", "flowchart TB"]
    for line in lines[4:]:
        assert MERMAID.fullmatch(line), line
    assert text.count("-->") == len(list(graph.edges()))
    frames = re.findall(r"subgraph (\w+)", text)
    assert (
        len(frames)
        == len(set(frames))
        == lines.count("  end") + sum(line.strip() == "end" and line != "  end" for line in lines)
    )
    # GitHub draws up to 50,000 characters and 500 edges.
    assert len(text) < 50_000


@pytest.mark.parametrize("name", ports.names())
def test_convnetdraw(name, port_graph):
    graph = port_graph(name)
    if name not in SEQUENTIAL:
        readers = Counter(source for source, _ in graph.edges())
        first = next(node.name for node in graph.nodes if readers[node.name] > 1)
        with pytest.raises(NotImplementedError, match=f"'{re.escape(first)}' is read more than"):
            script(graph, title=name)
        return
    lines = script(graph, title=name).splitlines()
    assert lines[0] == f"# {name}"
    drawn = [line for line in lines if not line.startswith("#")]
    cubes = [re.fullmatch(r"([a-z]+)\((\d+), (\d+), (\d+)\)", line).groups() for line in drawn]
    words = Counter(word for word, *_ in cubes)
    # The methods of ConvNetDraw's drawing that are not layers must not be called.
    assert not {"draw", "save", "generic", "drawItem", "drawCube", "shadeColor"} & set(words)
    kinds = Counter(node.kind for node in graph.nodes)
    assert words["conv"] == kinds["conv"]
    assert words["relu"] == kinds["ReLU"]
    assert words["fullyconn"] == kinds["dense"]
    shapes = [node.shape[1:] for node in graph.nodes if node.kind != "identity"]
    sizes = [tuple(map(int, cube)) for _, *cube in cubes]
    assert sizes == [(*(1,) * (3 - len(shape)), *shape) for shape in shapes]


def balanced(text):
    plain = re.sub(r"%.*|\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    return text


def test_tikz(any_graph):
    graph = collapsed(any_graph)
    text = balanced(tikz(graph, title="a_net & more"))
    assert text.isascii()
    assert len(re.findall(r"\\node\[layer", text)) == len(graph.nodes)
    assert text.count(r"\draw[flow]") == len(list(graph.edges()))
    assert text.count(",repeated]") == sum(node.repeats > 1 for node in graph.nodes)


def test_plotneuralnet(any_graph):
    graph = collapsed(any_graph)
    text = balanced(plotneuralnet(graph, title="net"))
    assert text.isascii()
    names = re.findall(r"\bname=(\w+)", text)
    assert names == [f"p{i}" for i in range(len(names))]
    used = set(re.findall(r"\((p\d+)-(?:east|west|north|anchor)\)", text))
    assert used == set(names) if len(names) > 1 else not used
    # Every kernel of every convolution that is not in a block has its slab.
    slabs = sum(len(widths.split(",")) for widths in re.findall(r"width=\{([^}]*)\}", text))
    kept = ("identity", "flatten", "reshape", "batch norm", "ReLU", "add", "concat", "multiply")
    assert slabs >= sum(node.kind not in kept for node in graph.nodes)


def test_names_with_special_characters():
    graph = Graph(
        (
            Node("input", "input", (), (1, 2)),
            Node('a"b<c>#d', "dense", ("input",), (1, 3)),
            Node("50%_$x&{y}~^\\", "ReLU", ('a"b<c>#d',), (1, 3)),
        ),
        (),
    )
    assert 'n1["a#34;b#60;c#62;#35;d<br/>dense, 3<br/>3"]' in flowchart(graph, title="t")
    written = tikz(graph, title="t")
    assert r"50\%\_\$x\&\{y\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in written


def test_a_number_is_drawn_too():
    graph = architecture(lambda x: x.sum(), jnp.ones((1, 3)))
    assert graph.nodes[-1].shape == ()
    for write in (table, flowchart, tikz, plotneuralnet, script, prototxt):
        if write is prototxt:
            with pytest.raises(NotImplementedError, match="no layer for 'sum'"):
                write(graph, title="sum")
        else:
            assert write(graph, title="sum")
