"""The public names, and which module may import which."""

import ast
from pathlib import Path

import pytest

import swahr_mmpose

PACKAGE = Path(swahr_mmpose.__file__).parent
# Our own modules that each module may import.
EDGES = {
    '__init__': {
        'batches', 'codec', 'compat', 'estimator', 'fusion', 'head', 'hooks',
        'initializers', 'losses', 'metrics', 'safe_checkpoints', 'samples',
        'seeding', 'tag_loss',
        'transforms', 'visualization_hook'
    },
    'annotations': set(),
    'batches': {'transforms'},
    'best_fit': set(),
    'apis': {'checkpoint_files', 'downloads', 'hooks'},
    'checkpoint_files': {'safe_pickle'},
    'checkpoints': set(),
    'cli': set(),
    'coco_files': set(),
    'coco_results': {'checkpoint_files'},
    'codec': {'decoding', 'grouping', 'heatmaps', 'peaks', 'runs'},
    'compat': {
        'checkpoint_files', 'downloads', 'safe_pickle', 'training_objects'
    },
    'completion': {'geometry'},
    'conversion': {'checkpoints', 'model_shape'},
    'dataset_report': {'own_skeleton'},
    'decoding': {'filling', 'grouping', 'peaks', 'runs'},
    'downloads': {'checkpoint_files'},
    'drawings': {'checkpoint_files', 'video'},
    'environment': set(),
    'estimator': {'fusion'},
    'export': {'fusion', 'runtime', 'runtime.settings'},
    'fields': set(),
    'filling': {'best_fit', 'grouping', 'runs', 'sampling'},
    'fusion': {'sampling'},
    'geometry': set(),
    'grouping': set(),
    'head': {'fields', 'fusion', 'layers'},
    'heatmap_formulas': set(),
    'heatmaps': set(),
    'hooks': {'downloads', 'imagefiles'},
    'imagefiles': set(),
    'inference': {
        'apis', 'pose_nms', 'sources', 'streams', 'visualization'
    },
    'initializers': {'checkpoint_files', 'checkpoints', 'downloads'},
    'inspection': {'heatmap_formulas'},
    'instances': set(),
    'keypoint_names': set(),
    'layers': set(),
    'losses': {'heatmap_formulas', 'sparse_loss'},
    'metrics': set(),
    'model_shape': {'checkpoints'},
    'own_skeleton': {'instances', 'keypoint_names', 'skeletons'},
    'parity': {'export', 'runtime'},
    'peaks': {'runs', 'sampling'},
    'pose_nms': set(),
    'preflight': {'annotations', 'imagefiles'},
    'publishing': {'conversion'},
    'quantization': {'export', 'runtime'},
    'safe_checkpoints': {'checkpoint_files'},
    'safe_pickle': set(),
    'samples': {'fields', 'imagefiles'},
    'recipes': set(),
    'runs': set(),
    'sampling': set(),
    'scales': set(),
    'seeding': set(),
    'skeletons': set(),
    'sources': {'imagefiles', 'samples', 'video'},
    'sparse_loss': {'heatmap_formulas', 'runs'},
    'streams': set(),
    'tag_loss': {'heatmap_formulas'},
    'target_pictures': {'inspection', 'visualization'},
    'training_objects': set(),
    'transforms': {'geometry', 'seeding'},
    'video': set(),
    'visualization': set(),
    'visualization_hook': {'inspection', 'seeding', 'target_pictures'},
}  # fmt: skip
# Modules that work without OpenMMLab.
FREE = {
    'annotations', 'best_fit', 'checkpoint_files', 'checkpoints',
    'coco_files', 'coco_results', 'completion', 'conversion',
    'dataset_report', 'decoding', 'drawings', 'environment', 'filling',
    'fusion', 'geometry', 'grouping', 'heatmap_formulas', 'heatmaps',
    'imagefiles', 'instances', 'keypoint_names', 'model_shape',
    'own_skeleton', 'peaks', 'publishing', 'recipes', 'runs', 'safe_pickle',
    'sampling', 'scales', 'skeletons', 'sparse_loss', 'streams', 'video'
}  # fmt: skip
PUBLIC = [
    'BottomupGetLossMask', 'BottomupLoadImage', 'BottomupPackInputs',
    'BottomupPyramidDataPreprocessor', 'BottomupPyramidPoseEstimator',
    'BottomupPyramidResize', 'BottomupRandomSquareAffine',
    'BottomupVisualizationHook',
    'CheckCheckpointHook', 'CheckLossHook', 'CheckPathsHook',
    'CrowdPoseMetric',
    'EqualSizeBatchSampler',
    'HeadOutput',
    'HigherHRNetHead', 'PretrainedBackbone', 'PullPushLoss',
    'SWAHRLoss', 'SafeCheckpointHook', 'ScaleAwareAssociativeEmbedding',
    'SeededSampler', '__version__'
]  # fmt: skip


def imports(path):
    """Names of own modules and of other packages that a file imports."""
    own, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            names = [a.name for a in node.names]
            own |= {node.module} if node.module else set(names)
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module.split('.')[0])
        elif isinstance(node, ast.Import):
            others |= {a.name.split('.')[0] for a in node.names}
    return own, others


def test_every_module_is_in_the_table():
    assert {p.stem for p in PACKAGE.glob('*.py')} == set(EDGES)


@pytest.mark.parametrize('module', sorted(EDGES))
def test_imports_go_one_way(module):
    own, others = imports(PACKAGE / f'{module}.py')
    assert own <= EDGES[module]
    assert 'swahr_mmpose' not in others
    if module in FREE:
        assert not {o for o in others if o.startswith('mm')}


def test_synthetic_data_need_neither_openmmlab_nor_the_rest():
    for path in (PACKAGE / 'synthetic').glob('*.py'):
        own, others = imports(path)
        assert own <= {
            'beetles', 'canvas', 'dataset', 'kinds', 'people', 'records',
            'scene', 'settings'
        }  # fmt: skip
        assert not {o for o in others if o.startswith(('mm', 'torch'))}


def test_public_names():
    assert sorted(swahr_mmpose.__all__) == sorted(PUBLIC)
    for name in PUBLIC:
        assert hasattr(swahr_mmpose, name)


def test_files_stay_short():
    long = {
        str(p.relative_to(PACKAGE)): n
        for p in PACKAGE.rglob('*.py')
        if (n := len(p.read_text().splitlines())) > 300
    }
    assert not long
