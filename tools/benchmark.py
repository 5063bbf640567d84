# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""How much faster than MMPose, or than the plain formula? In one process.

  # the table of docs/speed.md
  python tools/benchmark.py --out speed.json
  # some rows, on a GPU
  python tools/benchmark.py --rows decode loss --device cuda

Both sides of a row see the same input and run by turns; given are the medians
and, behind them, the middle half of the times. A row is a ratio of two
measurements in the same minute on the same machine, nothing else.
"""

import json
import platform
import statistics
import threading
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmpose.registry import KEYPOINT_CODECS, MODELS

import swahr_mmpose
from swahr_mmpose.cli import make_parser
from swahr_mmpose.fusion import HeadOutput, fuse_levels, merge_flipped
from swahr_mmpose.heatmap_formulas import adaptive_weight, scale_adapted_target
from swahr_mmpose.sampling import resize

ORDER = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]
FLIP = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
K = 17


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('--rows', nargs='+', choices=list(ROWS), default=None)
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--out', metavar='FILE', help='write results (.json)')
    return parser.parse_args()


# ---------------------------------------------------------------- inputs


def people_maps(people, size, sigma, rng, missing=0.1):
    """Heatmaps (1, K, H, W) and one tag map per keypoint, as a network's.

    Gaussians of different height over a little noise, smooth tags; a tenth of
    the keypoints is missing.
    """
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    maps = rng.normal(0, 0.004, (K, height, width)).astype(np.float32)
    tags = rng.normal(0, 0.1, (K, height, width)).astype(np.float32)
    centers = rng.uniform([20, 20], [width - 20, height - 20], (people, 2))
    spread = 0.15 * min(size)
    for n, center in enumerate(centers):
        points = center + rng.uniform(-spread, spread, (K, 2))
        for k, (px, py) in enumerate(points):
            distance = (x - px) ** 2 + (y - py) ** 2
            top = rng.uniform(0.3, 1.0)
            if rng.random() < missing:
                top = rng.uniform(0.01, 0.08)
            bump = top * np.exp(-distance / (2 * sigma**2))
            # A tag is that of the person to whom the heatmap belongs.
            own = (bump > maps[k]) & (distance < (4 * sigma) ** 2)
            maps[k][own] = bump[own]
            tags[k][own] = 2.0 * n + rng.normal(0, 0.05)
    return torch.from_numpy(maps)[None], torch.from_numpy(tags)[None]


def decoders(size=(768, 512)):
    """Ours and MMPose's, with the same settings."""
    w, h = size
    ours = swahr_mmpose.ScaleAwareAssociativeEmbedding(
        input_size=size,
        heatmap_sizes=[(w // 4, h // 4), (w // 2, h // 2)],
        decode_keypoint_order=ORDER,
    )
    theirs = KEYPOINT_CODECS.get('AssociativeEmbedding')(
        input_size=size,
        heatmap_size=size,
        decode_keypoint_order=ORDER,
        decode_center_shift=0.5,
    )
    return ours, theirs


# ------------------------------------------------------------------ rows
# Each yields (name, old, new, goal): two functions of no argument.


def rows_decode(device):
    """Maps of the input's size, two tags per keypoint."""
    for people, goal in ((0, 20), (1, 20), (10, 20), (30, 20)):
        rng = np.random.default_rng(people)
        maps, tags = (
            resize(m, (512, 768)).to(device)
            for m in people_maps(people, (128, 192), 2, rng)
        )
        tags = tags.repeat(1, 2, 1, 1)
        ours, theirs = decoders()
        yield (
            f'decode 512x768, two tags, {people} people',
            lambda m=maps, t=tags, c=theirs: c.batch_decode(m, t),
            lambda m=maps, t=tags, c=ours: c.batch_decode(m, t),
            goal,
        )


def network_output(people, device):
    """What the network gives for an image and its mirror, 512x768."""
    rng = np.random.default_rng(people)
    coarse, tags = people_maps(people, (128, 192), 2, rng)
    fine = F.interpolate(coarse, scale_factor=2, mode='bilinear')
    coarse, fine, tags = (t.to(device) for t in (coarse, fine, tags))
    plain = HeadOutput([coarse, fine], tags, None)
    mirrored = HeadOutput(
        *[[m.flip(-1)[:, FLIP] for m in plain.heatmaps]],
        tags.flip(-1)[:, FLIP],
        None,
    )
    return plain, mirrored


def enlarged(maps, size):
    """As MMPose does it."""
    return F.interpolate(maps, size, mode='bilinear', align_corners=False)


def after_network_theirs(output, mirrored, codec):
    """The same steps in MMPose's manner: everything at full size."""
    size = (512, 768)
    views = []
    for view, flip in ((output, False), (mirrored, True)):
        heatmaps = sum(enlarged(m, size) for m in view.heatmaps) / 2
        tags = enlarged(view.tags, size)
        if flip:
            heatmaps, tags = (m.flip(-1)[:, FLIP] for m in (heatmaps, tags))
        views.append((heatmaps, tags))
    heatmaps = (views[0][0] + views[1][0]) / 2
    return codec.batch_decode(
        heatmaps, torch.cat([views[0][1], views[1][1]], dim=1)
    )


def after_network_ours(output, mirrored, codec):
    """As HigherHRNetHead.test_maps and decode."""
    merged = merge_flipped(output, mirrored, FLIP)
    return codec.batch_decode(*fuse_levels(merged, (512, 768)))


def rows_after(device):
    """From the network's output to people, with the mirrored image."""
    for people in (0, 1, 10, 30):
        outputs = network_output(people, device)
        ours, theirs = decoders()
        yield (
            f'after the network, flip test, {people} people',
            lambda o=outputs, c=theirs: after_network_theirs(*o, c),
            lambda o=outputs, c=ours: after_network_ours(*o, c),
            10,
        )


def rows_tags(device):
    """PullPushLoss, forward and backward, batch 8."""
    theirs = MODELS.get('AssociativeEmbeddingLoss')()
    ours = swahr_mmpose.PullPushLoss()
    for people, goal in ((5, 50), (15, 100)):
        generator = torch.Generator().manual_seed(people)
        tags = torch.randn(8, K, 128, 128, generator=generator)
        tags = tags.to(device).requires_grad_()
        indices = [
            torch.stack(
                [
                    torch.randint(0, 128 * 128, (people, K)),
                    (torch.rand(people, K) > 0.3).long(),
                ],
                dim=-1,
            ).to(device)
            for _ in range(8)
        ]
        yield (
            f'tag loss, batch 8, 17x128x128, {people} people',
            lambda t=tags, i=indices: backward([t], sum(theirs(t, i))),
            lambda t=tags, i=indices: backward([t], sum(ours(t, i))),
            goal,
        )


def plain_swahr(pred, alpha, target, mask):
    """The formulas of the paper on whole maps (Eq. 7, 8, 11 and 13)."""
    valid = mask[:, None].to(pred.dtype)
    alpha = alpha.where(target > 0, 0.0)
    goal = scale_adapted_target(target, alpha)
    error = (pred - goal) ** 2 * adaptive_weight(pred, target, 0.01)
    return (error * valid).mean(), (alpha**2 * valid).mean()


def backward(inputs, total):
    """Gradients, thrown away."""
    torch.autograd.grad(total, inputs)


def rows_loss(device):
    """SWAHRLoss, forward and backward, batch 4."""
    codec = swahr_mmpose.ScaleAwareAssociativeEmbedding(
        (512, 512), [(128, 128), (256, 256)]
    )
    rng = np.random.default_rng(0)
    target = torch.stack(
        [
            torch.from_numpy(
                codec.encode(rng.uniform(0, 512, (6, K, 2)))['heatmaps'][1]
            )
            for _ in range(4)
        ]
    ).to(device)
    generator = torch.Generator().manual_seed(0)
    pred, alpha = (
        (0.1 * torch.randn(target.shape, generator=generator))
        .to(device)
        .requires_grad_()
        for _ in range(2)
    )
    mask = torch.ones(4, 256, 256, dtype=torch.bool, device=device)
    mask[:, :20] = False
    loss = swahr_mmpose.SWAHRLoss()
    inputs = (pred, alpha, target, mask)
    yield (
        'SWAHR loss, batch 4, 17x256x256, 6 people',
        lambda: backward([pred, alpha], sum(plain_swahr(*inputs))),
        lambda: backward([pred, alpha], sum(loss(*inputs))),
        10,
    )


def rows_encode(device):
    """Targets of two levels; NumPy, on the CPU."""
    ours = swahr_mmpose.ScaleAwareAssociativeEmbedding(
        (512, 512), [(128, 128), (256, 256)]
    )
    theirs = [
        KEYPOINT_CODECS.get('AssociativeEmbedding')(
            (512, 512), size, sigma=2.0
        )
        for size in ((128, 128), (256, 256))
    ]
    for people, goal in ((3, 3), (10, 5), (30, 10)):
        rng = np.random.default_rng(people)
        points = rng.uniform(0, 512, (people, K, 2)).astype(np.float32)
        visible = np.ones((people, K), np.float32)
        yield (
            f'encode, two levels, {people} people',
            lambda p=points, v=visible: [c.encode(p, v) for c in theirs],
            lambda p=points, v=visible: ours.encode(p, v),
            goal,
        )


ROWS = dict(
    decode=rows_decode,
    after=rows_after,
    tags=rows_tags,
    loss=rows_loss,
    encode=rows_encode,
)


# ------------------------------------------------------------- measuring


def seconds(function, device):
    """One run."""
    if device != 'cpu':
        torch.cuda.synchronize()
    started = time.perf_counter()
    function()
    if device != 'cpu':
        torch.cuda.synchronize()
    return time.perf_counter() - started


class PeakMemory:
    """Extra memory of the process while a function runs, in MiB.

    Looked at every half millisecond; what the allocator had kept before does
    not show, so it is the least of the extra memory.
    """

    def __init__(self, device):
        self.device = device

    def __call__(self, function):
        """Run the function; its extra memory."""
        if self.device != 'cpu':
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            function()
            torch.cuda.synchronize()
            return (torch.cuda.max_memory_allocated() - before) / 2**20
        before, peak, done = resident(), 0, threading.Event()

        def watch():
            nonlocal peak
            while not done.is_set():
                peak = max(peak, resident())
                time.sleep(5e-4)

        watcher = threading.Thread(target=watch)
        watcher.start()
        function()
        done.set()
        watcher.join()
        return max(peak - before, 0) / 2**20


def resident():
    """Bytes of memory that the process holds (Linux)."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * 4096


def measure(name, old, new, goal, args):
    """By turns, after a warm-up."""
    times = ([], [])
    for function in (old, new, new):
        function()
    for _ in range(args.repeats):
        for function, kept in zip((old, new), times):
            kept.append(seconds(function, args.device))
    memory = [
        max(PeakMemory(args.device)(f) for _ in range(3)) for f in (old, new)
    ]
    medians = [1e3 * statistics.median(t) for t in times]
    quartiles = [
        [1e3 * q for q in statistics.quantiles(t, n=4)[::2]] for t in times
    ]
    return dict(
        name=name,
        old_ms=medians[0],
        old_quartiles_ms=quartiles[0],
        new_ms=medians[1],
        new_quartiles_ms=quartiles[1],
        ratio=medians[0] / medians[1],
        goal=goal,
        old_extra_mib=memory[0],
        new_extra_mib=memory[1],
    )


def line(result):
    """A row of the table."""
    old, new = (
        f'{result[f"{side}_ms"]:.2f} '
        f'({result[f"{side}_quartiles_ms"][0]:.2f}-'
        f'{result[f"{side}_quartiles_ms"][1]:.2f})'
        for side in ('old', 'new')
    )
    return (
        f'| {result["name"]} | {old} | {new} | {result["ratio"]:.1f}x | '
        f'{result["goal"]}x | {result["old_extra_mib"]:.0f} / '
        f'{result["new_extra_mib"]:.0f} |'
    )


def hardware(args):
    """What it ran on."""
    name = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.exists():
        names = [
            text.split(':')[1].strip()
            for text in info.read_text().splitlines()
            if text.startswith('model name')
        ]
        name = f'{names[0]}, {len(names)} cores' if names else name
    if args.device != 'cpu':
        name = torch.cuda.get_device_name(args.device)
    return dict(
        device=name,
        threads=args.threads,
        torch=torch.__version__,
        numpy=np.__version__,
        python=platform.python_version(),
    )


def main():
    """Measure and print."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    where = hardware(args)
    print(', '.join(f'{k} {v}' for k, v in where.items()))
    print(
        '| | old, ms | new, ms | ratio | goal | extra MiB, old / new |\n'
        '| --- | --- | --- | --- | --- | --- |'
    )
    results = []
    for row in args.rows or ROWS:
        for name, old, new, goal in ROWS[row](args.device):
            results.append(measure(name, old, new, goal, args))
            print(line(results[-1]), flush=True)
    if args.out:
        content = dict(hardware=where, rows=results)
        Path(args.out).write_text(json.dumps(content, indent=2) + '\n')


if __name__ == '__main__':
    main()
