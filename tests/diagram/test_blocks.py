"""Graphs made readable: nothing is lost, nothing is turned around, nothing overlaps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ports
from jaxviz.diagram.blocks import READABLE, collapsed
from jaxviz.diagram.graph import Graph, Node
from jaxviz.diagram.layout import layout


def names(graph):
    return [node.name for node in graph.nodes]


@pytest.mark.parametrize("depth", [None, 1, 2, 3])
@pytest.mark.parametrize("name", ports.names())
def test_collapsing_keeps_layers_numbers_and_order(name, depth, port_graph):
    graph = port_graph(name)
    small = collapsed(graph, depth)
    assert [node.name for node in small.leaves()] == names(graph)
    assert small.parameters == graph.parameters
    assert small.multiplications == graph.multiplications
    seen = set()
    for node in small.nodes:
        assert set(node.inputs) <= seen, f"{node.name} reads what comes later"
        assert node.name not in seen
        seen.add(node.name)
    # Whoever was connected is connected, or inside of one block.
    home = {layer.name: node.name for node in small.nodes for layer in (node.members or (node,))}
    edges = {(home[a], home[b]) for a, b in graph.edges() if home[a] != home[b]}
    assert edges == set(small.edges())


@pytest.mark.parametrize("name", ports.names())
def test_by_default_a_picture_is_readable(name, port_graph):
    assert len(collapsed(port_graph(name)).nodes) <= READABLE


def test_resnet50_by_blocks(port_graph):
    small = collapsed(port_graph("resnet50"), 2)
    assert names(small) == [
        *("input", "conv1", "bn1", "relu", "maxpool"),
        *("layer1.0", "layer1.1–2", "layer2.0", "layer2.1–3"),
        *("layer3.0", "layer3.1–5", "layer4.0", "layer4.1–2"),
        *("avgpool", "flatten", "fc"),
    ]
    repeats = {node.name: node.repeats for node in small.nodes if node.repeats > 1}
    assert repeats == {"layer1.1–2": 2, "layer2.1–3": 3, "layer3.1–5": 5, "layer4.1–2": 2}
    assert names(collapsed(port_graph("resnet50"), 1))[5:9] == [f"layer{i}" for i in range(1, 5)]


def test_densenet201_by_blocks(port_graph):
    small = collapsed(port_graph("densenet201"), 3)
    repeated = {node.name: node.repeats for node in small.nodes if node.repeats > 1}
    # Huang et al., table 1: blocks of 6, 12, 48 and 32 layers.
    assert repeated == {
        f"features.denseblock{i}.denselayer1–{count}": count
        for i, count in enumerate((6, 12, 48, 32), 1)
    }
    assert len(small.nodes) < 40
    assert all(node.settings["dense"] for node in small.nodes if node.repeats > 1)


def test_branches_that_look_alike_are_not_a_chain(port_graph):
    small = collapsed(port_graph("googlenet"), 2)
    assert {"inception3a.branch2", "inception3a.branch3"} <= set(names(small))


def node(name, *inputs, shape=(1, 4)):
    return Node(name, "conv", inputs, shape)


def test_a_block_that_is_left_and_entered_again_is_two():
    graph = Graph(
        (
            node("a"),
            node("block.x", "a"),
            node("block.y", "block.x"),
            node("between", "block.y"),
            node("block.z", "between"),
            node("block.w", "block.z", "block.y"),
        ),
        ("block.w",),
    )
    small = collapsed(graph, 1)
    assert names(small) == ["a", "block", "between", "block_1"]
    assert small.nodes[-1].inputs == ("between", "block")
    assert small.outputs == ("block_1",)


def test_depth_must_be_positive():
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        collapsed(Graph((node("a"),), ("a",)), 0)


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    nodes = [node("n0")]
    for i in range(1, count):
        read = draw(st.lists(st.integers(0, i - 1), min_size=1, max_size=3, unique=True))
        nodes.append(node(f"n{i}", *(f"n{j}" for j in read)))
    return Graph(tuple(nodes), (nodes[-1].name,))


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_no_two_things_share_a_place(graph):
    found = layout(graph)
    places = [*found.place.values(), *(place for way in found.ways.values() for place in way)]
    assert len(places) == len(set(places))
    assert set(found.ways) == set(graph.edges())
    for (source, target), way in found.ways.items():
        (above, _), (below, _) = found.place[source], found.place[target]
        assert [row for row, _ in way] == list(range(above + 1, below))
        assert len({lane for _, lane in way}) <= 1
    assert max(row for row, _ in places) < found.rows
    assert max(lane for _, lane in places) < found.lanes


def test_a_chain_is_one_lane():
    chain = Graph((node("a"), node("b", "a"), node("c", "b")), ("c",))
    assert layout(chain).lanes == 1
