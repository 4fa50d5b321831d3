"""Pretrained CNNs as Flax NNX modules, and the weights' way in.

>>> import jax, ports
>>> model = ports.load("shapes-plain", key=jax.random.key(0))   # or weights="vgg16.safetensors"
>>> model(jax.numpy.zeros((2, 64, 64, 3))).shape
(2, 10)
"""

# Models by name, and their classes
from ports.alexnet import AlexNet as AlexNet
from ports.cards import Card as Card
from ports.cards import card as card
from ports.densenet import DenseNet as DenseNet
from ports.googlenet import GoogLeNet as GoogLeNet
from ports.loading import load as load
from ports.loading import new as new
from ports.loading import save as save
from ports.registry import names as names
from ports.resnet import ResNet as ResNet
from ports.shapes import ShapesDense as ShapesDense
from ports.shapes import ShapesPlain as ShapesPlain
from ports.shapes import ShapesResidual as ShapesResidual
from ports.vgg import VGG as VGG
from ports.zfnet import ZFNet as ZFNet
