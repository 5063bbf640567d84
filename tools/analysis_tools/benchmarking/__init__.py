# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Rows of ``tools/analysis_tools/benchmark.py``.

The names are here, so that its arguments are parsed without torch.
"""

OPERATIONS = ('decode', 'after', 'tags', 'loss', 'encode')
DESCRIBED = ('sample', 'train', 'test', 'loader')
NETWORKS = {
    'W32-512': 'swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py',
    'W48-640': 'swahr_higherhrnet-w48_8xb10-300e_coco-640x640.py',
}
