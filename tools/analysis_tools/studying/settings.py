# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Methods, data and measurements of the study (ablation.py)."""

from pathlib import Path

CONFIG = (
    'configs/synthetic/swahr_higherhrnet-tiny_1xb4-80e_synthetic-128x128.py'
)
DATA = {
    'image-size': '640 512',
    'min-height': 64,
    'max-height': 500,
    'annotation-noise': 1,
    'small-difficulty': 1,
}
LOSS = 'model.head.keypoint_loss.'
NO_SCALES = {'model.head.scale_maps': False, LOSS + 'scale_adaptive': False}
NO_WEIGHTS = {LOSS + 'weight_adaptive': False}
BASELINE = {**NO_SCALES, **NO_WEIGHTS}
MAIN_METHODS = {
    'baseline': BASELINE,
    'SWAHR': {},
    'WAHR': NO_SCALES,
    'SAHR': NO_WEIGHTS,
    'SHR': {
        **BASELINE,
        # The paper divides box widths by 256 px at an input of 512 px.
        **{
            f'{codec}.person_scale.base_width': 64
            for codec in (
                'codec',
                'model.head.decoder',
                'train_dataloader.dataset.pipeline.2.encoder',
            )
        },
    },
}
VARIANTS = {
    'SAHR-lambda0.5': {**NO_WEIGHTS, LOSS + 'regularizer_weight': 0.5},
    'SAHR-lambda0.1': {**NO_WEIGHTS, LOSS + 'regularizer_weight': 0.1},
    'SWAHR-lambda0.1': {LOSS + 'regularizer_weight': 0.1},
    # Controls: a scale branch that is kept at s = 1.
    'SAHR-lambda100': {**NO_WEIGHTS, LOSS + 'regularizer_weight': 100},
    'SWAHR-lambda100': {LOSS + 'regularizer_weight': 100},
    'WAHR-gamma0.1': {**NO_SCALES, LOSS + 'gamma': 0.1},
    'WAHR-gamma1': {**NO_SCALES, LOSS + 'gamma': 1.0},
}
# Annotation noise in units of OKS, by suffix of the method. At 128 px, four
# times the noise of OKS is as many cells as the noise of OKS at the paper's
# 512 px.
NOISE = {'': 1, '-clean': 0, '-noise4': 4}
# Settings by method.
METHODS = {
    method + suffix: settings
    for suffix in NOISE
    for method, settings in {**MAIN_METHODS, **VARIANTS}.items()
}
# Measurement: tool, and further --cfg-options.
MEASURES = {
    'metrics': ['tools/test.py'],
    'metrics_at_0.3': [
        'tools/test.py',
        'model.head.decoder.decode_keypoint_thr=0.3',
        'codec.decode_keypoint_thr=0.3',
    ],
    'official_assignment': [
        'tools/test.py',
        'model.head.decoder.decode_assignment=official',
        'codec.decode_assignment=official',
    ],
    'localization': ['tools/analysis_tools/measure_localization.py'],
    'scales': ['tools/analysis_tools/scale_statistics.py'],
}


def find_suffix(method):
    """Find the suffix of a method that says which dataset it has."""
    return next((x for x in NOISE if x and method.endswith(x)), '')


def is_measured(measure, method):
    """Whether a measurement applies to a method."""
    return (
        measure != 'scales' or 'model.head.scale_maps' not in (METHODS[method])
    )


def list_settings(data, method, seed, epochs):
    """List the settings of a run as --cfg-options.

    Args:
        data (str): Folder of the dataset with the noise of OKS; others are
            beside it, with the suffix of their methods.
        method (str): Key of ``METHODS``.
        seed (int): Seed of the training.
        epochs (int): Length of the training.

    Returns:
        list[str]: ``KEY=VALUE``.
    """
    root = f'{Path(data).resolve()}{find_suffix(method)}/'
    settings = {
        'randomness.seed': seed,
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': max(1, epochs // 4),
        'param_scheduler.1.end': epochs,
        'default_hooks.checkpoint.interval': max(1, epochs // 20),
        'default_hooks.checkpoint.max_keep_ckpts': 1,
        # Figures of samples cost more time than they are worth here.
        'custom_hooks.4.interval': epochs,
        **METHODS[method],
    }
    for split in ('val', 'test'):
        settings[f'{split}_evaluator.ann_file'] = (
            root + 'annotations/person_keypoints_val.json'
        )
    for split in ('train', 'val', 'test'):
        settings[f'{split}_dataloader.dataset.data_root'] = root
    return [f'{key}={value}' for key, value in settings.items()]
