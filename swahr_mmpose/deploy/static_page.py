# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A static page that runs an exported model in the browser.

It is the page of the web service with ``pose_model.js`` in place of the
server, onnxruntime-web, and the model. Nothing is downloaded.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict

from .runtime import PoseModel
from .runtime.page import read_page

__all__ = ['find_onnxruntime', 'make_page', 'make_settings']

# What onnxruntime-web loads for the provider wasm.
_FILES = (
    'ort.wasm.min.js',
    'ort-wasm-simd-threaded.mjs',
    'ort-wasm-simd-threaded.wasm',
)
# Places of the files in an npm package, unpacked or installed.
_PLACES = (
    '.',
    'dist',
    'package/dist',
    'onnxruntime-web/dist',
    'node_modules/onnxruntime-web/dist',
)
_SCRIPTS = (
    b'<script src="ort.wasm.min.js"></script>\n'
    b'<script src="pose_model.js"></script>\n<script>'
)


def find_onnxruntime(folder: str) -> Path:
    """Find the files of onnxruntime-web.

    Args:
        folder (str): Folder of the files, of the unpacked npm package, or of
            a project in which it is installed.

    Returns:
        Path: Folder of the files.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    for place in _PLACES:
        path = Path(folder, place)
        if all((path / name).is_file() for name in _FILES):
            return path
    raise FileNotFoundError(
        f'{folder} has not all of {", ".join(_FILES)}; get onnxruntime-web, '
        'version 1.20 or later, with `npm pack onnxruntime-web`, unpack the '
        'file and give the folder'
    )


def make_settings(model: PoseModel, path: str) -> Dict[str, Any]:
    """Make the settings that ``pose_model.js`` reads.

    Args:
        model (PoseModel): Exported model.
        path (str): File of the model, for messages.

    Returns:
        dict: Settings of the file, and ``size``, the fixed size ``(w, h)`` of
        the input or None.

    Raises:
        ValueError: If fusion and flip test are not part of the graph.
    """
    if not model.settings.fused:
        raise ValueError(
            f'{path} was exported with --fusion outside; export it with '
            '--fusion inside for the page'
        )
    return {**json.loads(model.settings.to_json()), 'size': model.size}


def make_page(model_path: str, folder: str, onnxruntime: str) -> Path:
    """Write the page into a folder; files of the same names are replaced.

    Args:
        model_path (str): ONNX file.
        folder (str): Folder to write; it is created.
        onnxruntime (str): See :func:`find_onnxruntime`.

    Returns:
        Path: ``index.html`` of the folder.

    Raises:
        FileNotFoundError: If the model or a file of onnxruntime-web is
            missing.
        ValueError: If the file is no exported model, or not one for the page.
    """
    source, target = find_onnxruntime(onnxruntime), Path(folder)
    settings = make_settings(PoseModel(model_path), model_path)
    content, _ = read_page()
    target.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(source / name, target / name)
    script = Path(__file__).with_name('pose_model.js')
    shutil.copyfile(script, target / script.name)
    shutil.copyfile(model_path, target / 'model.onnx')
    text = json.dumps(settings)
    (target / 'settings.json').write_text(text, encoding='utf-8')
    index = target / 'index.html'
    index.write_bytes(content.replace(b'<script>', _SCRIPTS, 1))
    return index
