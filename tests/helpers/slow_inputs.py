"""Inputs that are slow to decode, of `tools/dev/search_slow_inputs.py`."""

import importlib.util
import sys

from helpers import ROOT

PATH = ROOT / 'tools/dev/search_slow_inputs.py'


def load_tool():
    """Import the tool, which is not part of the package."""
    name = PATH.stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, PATH)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def list_slow_inputs():
    """List inputs that took longest, some of them before a change."""
    tool = load_tool()

    def layer(kind, amplitude=1.0, offset=0.0, count=30, change='set all all'):
        return tool.Layer(kind, amplitude, offset, count, *change.split())

    scattered = layer('noise', 1000.0)
    powers = layer('peaks', 2.0), layer('copy', 1e7, change='set left odd')
    rising = layer('copy', -1.0, 4.0)
    return [
        tool.Inputs(0, 2, 1, (layer('noise'),), (scattered,)),
        tool.Inputs(0, 2, 1, (layer('constant', 3e38),), (scattered,)),
        tool.Inputs(0, 2, 1, (layer('levels', 0.5),), powers),
        tool.Inputs(0, 2, 2, (rising,), (layer('peaks', 1e5),)),
        tool.Inputs(0, 1, 1, (rising,), (scattered,)),
    ]
