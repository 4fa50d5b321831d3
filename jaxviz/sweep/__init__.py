"""A method over a whole set of images: sharded over devices and machines, resumable, stored."""

from jaxviz.sweep.devices import DeviceFull as DeviceFull
from jaxviz.sweep.loop import sweep as sweep
from jaxviz.sweep.store import OtherSweep as OtherSweep
from jaxviz.sweep.summary import Failure as Failure
from jaxviz.sweep.summary import Summary as Summary
from jaxviz.sweep.summary import sweep_status as sweep_status
from jaxviz.sweep.watching import Progress as Progress
