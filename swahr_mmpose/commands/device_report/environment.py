# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Hardware, driver and versions of the report."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Dict

import cv2
import mmengine
import mmpose
import numpy as np
import torch

from swahr_mmpose import __version__
from swahr_mmpose.utils.device import get_device_name

__all__ = ['describe_environment']


def describe_environment(device: str, quick: bool) -> Dict[str, str]:
    """Describe a device and the packages that use it.

    Args:
        device (str): Device.
        quick (bool): Whether the reduced form is run.

    Returns:
        dict[str, str]: Values by name; ``device name`` is the hardware.
    """
    cpu = _get_cpu_name()
    on_cpu = torch.device(device).type == 'cpu'
    facts = {
        'device name': cpu if on_cpu else get_device_name(device),
        'device': device,
        'driver': _get_driver(device),
        'CPU': f'{cpu}, {os.cpu_count()} cores',
        'system': platform.platform(),
        'Python': platform.python_version(),
        'torch': torch.__version__,
        'CUDA': str(torch.version.cuda or ''),
        'cuDNN': str(torch.backends.cudnn.version() or ''),
        'NumPy': np.__version__,
        'OpenCV': cv2.__version__,
        'MMEngine': mmengine.__version__,
        'MMPose': mmpose.__version__,
        'swahr_mmpose': __version__,
        'form': 'quick' if quick else 'complete',
    }
    return {name: value for name, value in facts.items() if value}


def _get_cpu_name() -> str:
    """Get the name of the CPU."""
    info = Path('/proc/cpuinfo')
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


def _get_driver(device: str) -> str:
    """Get the version of NVIDIA's driver; empty for other devices."""
    if torch.device(device).type != 'cuda':
        return ''
    command = ['nvidia-smi', '--query-gpu=driver_version', '--format=csv']
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 'unknown: nvidia-smi failed'
    return done.stdout.strip().splitlines()[-1]
