# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""How much memory a training takes on a GPU, without a GPU.

  python tools/analysis_tools/estimate_memory.py CONFIG
  # which batch fits on a card of 24 GiB in mixed precision?
  python tools/analysis_tools/estimate_memory.py CONFIG --amp --gpu 24

One and two training images go forward on the CPU, and what torch keeps for
the way back is counted; with weights, gradients and optimizer that is most of
what a GPU has to hold. Not counted: the CUDA context (about half a GiB),
workspaces of cuDNN, and what the allocator cannot use; leave a tenth free.
"""

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

import swahr_mmpose  # noqa: F401  (registers everything)
from swahr_mmpose.utils.cli import add_cfg_options, make_parser

GIB = 2**30
# Tensors beside a weight: its gradient, and what the optimizer remembers.
BESIDE = dict(Adam=3, AdamW=3, SGD=2)


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--batch-size', type=int, help='images per GPU (default: the config)'
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision, 16 bits'
    )
    parser.add_argument('--gpu', type=float, help='memory of a card, in GiB')
    add_cfg_options(parser)
    return parser.parse_args()


def kept_for_backward(model, images, amp):
    """Bytes that a forward pass keeps, weights not counted."""
    own = {
        t.untyped_storage().data_ptr()
        for t in (*model.parameters(), *model.buffers())
    }
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # By what holds it: an address may be used again when it is free.
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t)
    with hooks, torch.autocast('cpu', torch.bfloat16, enabled=amp):
        output = model.head(model.extract_feat(images), with_scale_maps=True)
    assert output.heatmaps[0].requires_grad
    return sum(size for size, _ in kept.values())


def main():
    """Estimate."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpose'))
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).train()
    width, height = cfg.codec.input_size
    one, two = (
        kept_for_backward(model, torch.zeros(n, 3, height, width), args.amp)
        for n in (1, 2)
    )
    each = (two - one) / GIB
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    kind = cfg.optim_wrapper.optimizer.type
    fixed = weights * (1 + BESIDE.get(kind, 3)) / GIB
    fixed += one / GIB - each  # weights in 16 bits
    batch = args.batch_size or cfg.train_dataloader.batch_size
    print(f'weights, gradients and {kind}: {fixed:.2f} GiB')
    print(f'each image of {width} x {height}: {each:.2f} GiB')
    print(f'batch of {batch}: {fixed + batch * each:.1f} GiB')
    if args.gpu:
        most = max(int((0.9 * args.gpu - 0.5 - fixed) / each), 0)
        print(f'a card of {args.gpu:g} GiB takes {most} images')


if __name__ == '__main__':
    main()
