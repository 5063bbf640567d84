# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Packaging; everything about tools stands in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = re.search(
    r"__version__ = '(.+?)'", (HERE / 'swahr_mmpose/__init__.py').read_text()
).group(1)


class BuildWithMim(build_py):
    """Put configs and tools where mim looks for them: swahr_mmpose/.mim."""

    def run(self):
        """Build, then copy; link where the package is installed to edit."""
        super().run()
        editable = getattr(self, 'editable_mode', False)
        home = HERE if editable else Path(self.build_lib)
        target = home / 'swahr_mmpose' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in ('configs', 'tools', 'model-index.yml'):
            source = HERE / name
            if editable:
                (target / name).symlink_to(source)
            elif source.is_dir():
                ignored = shutil.ignore_patterns('__pycache__', '*.pyc', 'dev')
                shutil.copytree(source, target / name, ignore=ignored)
            else:
                shutil.copy(source, target / name)


setup(
    name='swahr_mmpose',
    version=VERSION,
    description='SWAHR and HigherHRNet: trainable bottom-up pose estimation '
    'with associative embedding for MMPose 1.x',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='swahr_mmpose contributors',
    project_urls={
        'Paper': 'https://arxiv.org/abs/2012.15175',
        'MMPose': 'https://github.com/open-mmlab/mmpose',
    },
    license='Apache-2.0',
    packages=find_packages(include=['swahr_mmpose*']),
    package_data={
        'swahr_mmpose': [
            'py.typed',
            'deploy/pose_model.js',
            'deploy/runtime/page.html',
        ]
    },
    entry_points=dict(console_scripts=['swahr = swahr_mmpose.__main__:main']),
    cmdclass=dict(build_py=BuildWithMim),
    python_requires='>=3.8',
    # mmcv, mmengine and mmdet are not listed: each exists under several
    # distribution names (mmcv-lite, onedl-*), and a second one installed over
    # the first breaks it. Versions are checked at import, by compat.
    install_requires=[
        'matplotlib',
        'mmpose>=1.3.0,<1.4.0',
        'numpy',
        'pycocotools',
        'scipy',
        'torch>=2.0',
        'tqdm',
        'xtcocotools>=1.12',
    ],
    extras_require=dict(
        docs=[
            'furo',
            'myst-parser',
            'sphinx',
            'sphinx-copybutton',
            'sphinx-design',
        ],
        fetch=['gdown>=5'],
        export=['onnx>=1.17', 'onnxruntime>=1.17', 'onnxscript>=0.5'],
        serve=[
            'onnxruntime>=1.17',
            'pillow',
            'python-multipart>=0.0.13',
            'uvicorn>=0.22',
        ],
        # H.264 videos, which browsers play.
        video=['imageio-ffmpeg'],
        test=[
            'coverage',
            'hypothesis',
            'import-linter',
            'munkres==1.1.4',
            'mypy',
            'pytest',
            'pytest-xdist',
            'ruff',
        ],
    ),
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
