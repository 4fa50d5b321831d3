"""A model's architecture as a graph, and its writers."""

from jaxviz.diagram.architecture import architecture as architecture
from jaxviz.diagram.blocks import collapsed as collapsed
from jaxviz.diagram.formats import FORMATS as FORMATS
from jaxviz.diagram.formats import diagram as diagram
from jaxviz.diagram.graph import Graph as Graph
from jaxviz.diagram.graph import Node as Node
