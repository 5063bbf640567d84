# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Estimate the GPU memory of a training run, without a GPU.

  %(prog)s CONFIG
  # largest batch on a GPU of 24 GiB in mixed precision
  %(prog)s CONFIG --amp --gpu 24

Runs one and two training images forward on the CPU and counts the tensors that
autograd saves for backward. Weights, gradients and optimizer state are added.
Not counted: the CUDA context (about 0.5 GiB), cuDNN workspaces and allocator
fragmentation; leave 10 percent free.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Dict, Tuple

from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    make_parser,
    merge_options,
    read_config,
    user_errors,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ['count_saved_bytes', 'main']

GIB = 2**30
# Tensors per weight: its gradient and the optimizer state.
STATE_TENSORS = dict(Adam=3, AdamW=3, SGD=2)


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--batch-size',
        type=int,
        help='images per GPU (default: that of the config)',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision (bfloat16)'
    )
    parser.add_argument('--gpu', type=float, help='memory of the GPU in GiB')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.batch_size is not None and args.batch_size < 1:
        parser.error(
            f'--batch-size is {args.batch_size}, expected 1 or more; leave it '
            'out for that of the config'
        )
    return args


def count_saved_bytes(model: Any, images: Tensor, amp: bool) -> int:
    """Count bytes saved for backward by a forward pass, without weights.

    Args:
        model (BottomupPyramidPoseEstimator): Model in training mode.
        images (Tensor): Network input (B, 3, H, W).
        amp (bool): Whether to compute in bfloat16.

    Returns:
        int: Bytes.
    """
    import torch

    own = {
        t.untyped_storage().data_ptr()
        for t in (*model.parameters(), *model.buffers())
    }
    saved: Dict[int, Tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # The tensor is kept alive, so that no address is reused.
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t)
    with hooks, torch.autocast('cpu', torch.bfloat16, enabled=amp):
        output = model.head(model.extract_feat(images), with_scale_maps=True)
    assert output.heatmaps[0].requires_grad
    return sum(size for size, _ in saved.values())


def main(argv: Argv = None) -> None:
    """Print the estimate."""
    args = parse_args(argv)
    import torch
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    with user_errors():
        cfg = read_config(args.config)
        merge_options(cfg, args.cfg_options)
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).train()
    width, height = cfg.codec.input_size
    one, two = (
        count_saved_bytes(model, torch.zeros(n, 3, height, width), args.amp)
        for n in (1, 2)
    )
    each = (two - one) / GIB
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    kind = cfg.optim_wrapper.optimizer.type
    fixed = weights * (1 + STATE_TENSORS.get(kind, 3)) / GIB
    fixed += one / GIB - each  # weights in 16 bits
    batch = args.batch_size
    if batch is None:
        batch = cfg.train_dataloader.batch_size
    print(f'weights, gradients and {kind}: {fixed:.2f} GiB')
    print(f'per image of {width} x {height}: {each:.2f} GiB')
    print(f'batch of {batch}: {fixed + batch * each:.1f} GiB')
    if args.gpu:
        most = max(int((0.9 * args.gpu - 0.5 - fixed) / each), 0)
        print(f'largest batch on a GPU of {args.gpu:g} GiB: {most}')
