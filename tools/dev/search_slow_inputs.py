# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Search for heatmaps and tags that are slow to decode.

  # 15 minutes, the codec and the runtime
  nice %(prog)s --minutes 15
  # the runtime only, with other random numbers
  nice %(prog)s --targets runtime --seed 1 --minutes 5

Maps are drawn from a grammar: layers of constants, noise, levels, ramps,
grids, peaks, clusters, NaN and infinity, each of some keypoints and of some
region, on top of each other. The slowest inputs so far are mutated and
crossed. Prints a table of the slowest ones: CPU seconds of one thread, number
of people, warnings of searches that were cut off, and the layers.
"""

from __future__ import annotations

import sys
import time
import warnings
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

Shape = Tuple[int, int, int]
# Decodes heatmaps (K, H, W) and tags (L*K, h, w); returns the people.
Decode = Callable[[np.ndarray, np.ndarray], int]

KEYPOINTS, SIDE = 17, 512
KINDS = (
    'constant', 'noise', 'normal', 'levels', 'ramp x', 'ramp y', 'index',
    'grid', 'checkers', 'peaks', 'clusters', 'keypoint', 'copy', 'nan', 'inf',
)  # fmt: skip
REGIONS = ('all', 'top', 'left', 'stripes', 'cells', 'border', 'disc')
PARTS = ('all', 'first', 'half', 'odd', 'last')
OPERATIONS = ('set', 'set', 'add', 'multiply')
AMPLITUDES = (
    0, 1e-44, 1e-6, 1e-3, 0.01, 0.1, 0.3, 0.5, 0.7, 1, 1, 1, 2, 4, 10, 30, 100,
    300, 1e3, 3e3, 1e4, 1e5, 1e7, 1e12, 1e20, 1e37, 3e38, -1e-3, -0.1, -1, -3,
    -100, -1e4, -1e20,
)  # fmt: skip
COUNTS = (1, 2, 3, 4, 5, 8, 16, 30, 64, 127, 300, 1000, 5000, 30000)
# Share of the new inputs that are drawn at random, and of the parents.
RANDOM_SHARE = 0.3
NUM_PARENTS = 12


class Layer(NamedTuple):
    """A layer of maps.

    ``kind`` is one of ``KINDS``, with the factor ``amplitude`` and the summand
    ``offset``; ``count`` is the number of levels, clusters, or cells of a
    period.  It changes the maps by ``operation`` in a ``region`` of a ``part``
    of the keypoints.
    """

    kind: str
    amplitude: float
    offset: float
    count: int
    operation: str
    region: str
    part: str


class Inputs(NamedTuple):
    """Description of one input; tags are ``tag_scale`` times smaller."""

    seed: int
    tag_dim: int
    tag_scale: int
    heatmaps: Tuple[Layer, ...]
    tags: Tuple[Layer, ...]


class Measured(NamedTuple):
    """CPU seconds of an input, people and number of warnings."""

    seconds: float
    people: int
    cut_off: int
    inputs: Inputs


def draw_layer(rng: np.random.Generator, first: bool) -> Layer:
    """Draw a layer; the first one covers all cells."""
    return Layer(
        str(rng.choice(KINDS)),
        float(rng.choice(AMPLITUDES)),
        float(rng.choice(AMPLITUDES)) if rng.random() < 0.4 else 0.0,
        int(rng.choice(COUNTS)),
        'set' if first else str(rng.choice(OPERATIONS)),
        'all' if first else str(rng.choice(REGIONS)),
        'all' if first else str(rng.choice(PARTS)),
    )


def draw_layers(rng: np.random.Generator) -> Tuple[Layer, ...]:
    """Draw one to three layers."""
    number = int(rng.choice([1, 1, 2, 3]))
    return tuple(draw_layer(rng, i == 0) for i in range(number))


def draw_inputs(rng: np.random.Generator) -> Inputs:
    """Draw an input."""
    return Inputs(
        int(rng.integers(1 << 30)),
        int(rng.integers(1, 3)),
        int(rng.choice([1, 1, 1, 2, 4])),
        draw_layers(rng),
        draw_layers(rng),
    )


def mutate_layers(
    layers: Tuple[Layer, ...], rng: np.random.Generator
) -> Tuple[Layer, ...]:
    """Change one field of a layer, or add, drop or replace a layer."""
    index, what = int(rng.integers(len(layers))), rng.random()
    before, after = layers[:index], layers[index + 1 :]
    fresh = draw_layer(rng, index == 0)
    if what < 0.1:
        return (*layers, draw_layer(rng, False))[-4:]
    if what < 0.2 and index:
        return before + after
    if what < 0.3:
        return (*before, fresh, *after)
    field = str(rng.choice(Layer._fields))
    layer = layers[index]._replace(**{field: getattr(fresh, field)})
    if field in ('amplitude', 'offset') and rng.random() < 0.5:
        factor = float(np.exp(rng.normal(0, 0.7)))
        layer = layers[index]._replace(
            **{field: getattr(layers[index], field) * factor}
        )
    return (*before, layer, *after)


def mutate(inputs: Inputs, other: Inputs, rng: np.random.Generator) -> Inputs:
    """Mutate an input, or cross it with another one."""
    if rng.random() < 0.15:
        return inputs._replace(tags=other.tags, tag_dim=other.tag_dim)
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        what = rng.random()
        if what < 0.45:
            layers = mutate_layers(inputs.heatmaps, rng)
            inputs = inputs._replace(heatmaps=layers)
        elif what < 0.9:
            inputs = inputs._replace(tags=mutate_layers(inputs.tags, rng))
        else:
            field = str(rng.choice(['seed', 'tag_dim', 'tag_scale']))
            value = getattr(draw_inputs(rng), field)
            inputs = inputs._replace(**{field: value})
    return inputs


def repeat_map(cells: np.ndarray, number: int) -> np.ndarray:
    """Repeat random cells (H, W) for some maps, shifted in each."""
    flat = cells.reshape(-1)
    maps = [
        np.roll(flat, 7919 * i).reshape(cells.shape) for i in range(number)
    ]
    return np.stack(maps)


def make_values(
    layer: Layer,
    shape: Tuple[int, ...],
    rng: np.random.Generator,
    source: np.ndarray,
) -> np.ndarray:
    """Make the values of a kind, to be broadcast to maps (R, H, W)."""
    number, height, width = shape
    y, x = np.arange(height)[:, None], np.arange(width)
    count, kind, size = layer.count, layer.kind, (height, width)
    if kind == 'copy':
        return source
    if kind == 'keypoint':
        return np.arange(number, dtype=np.float32)[:, None, None]
    random: Dict[str, Callable[[], Any]] = {
        'noise': lambda: rng.random(size, np.float32),
        'normal': lambda: rng.standard_normal(size, np.float32),
        'levels': lambda: rng.integers(0, count + 1, size) / count,
        'peaks': lambda: rng.random(size, np.float32) ** 8,
        'clusters': lambda: rng.random(count, np.float32)[
            rng.integers(0, count, size)
        ],
    }
    if kind in random:
        return repeat_map(np.float32(random[kind]()), number)
    fixed: Dict[str, Callable[[], Any]] = {
        'constant': lambda: np.ones(size),
        'ramp x': lambda: x / width,
        'ramp y': lambda: y / height,
        'index': lambda: (y * width + x) / (height * width),
        'grid': lambda: (y % count == 0) & (x % count == 0),
        'checkers': lambda: (y // count + x // count) % 2,
        'nan': lambda: np.full(size, np.nan),
        'inf': lambda: np.full(size, np.inf),
    }
    return np.asarray(fixed[kind](), np.float32)


def mark_region(
    layer: Layer, shape: Tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Mark the cells of a layer, to be broadcast to maps (R, H, W)."""
    maps, height, width = shape
    y, x = np.arange(height)[:, None], np.arange(width)
    period = layer.count
    region = dict(
        all=lambda: np.ones((height, width), bool),
        top=lambda: np.broadcast_to(y < height // 2, (height, width)),
        left=lambda: np.broadcast_to(x < width // 2, (height, width)),
        stripes=lambda: np.broadcast_to(y // period % 2 == 0, (height, width)),
        cells=lambda: rng.random((height, width)) < 1 / period,
        border=lambda: (y < 4) | (x < 4) | (y >= height - 4),
        disc=lambda: (y - height // 2) ** 2 + (x - width // 2) ** 2 < 9000,
    )[layer.region]()
    index = np.arange(maps) % KEYPOINTS
    part = dict(
        all=index >= 0,
        first=index == 0,
        half=index < KEYPOINTS // 2,
        odd=index % 2 == 1,
        last=index == KEYPOINTS - 1,
    )[layer.part]
    return part[:, None, None] & region


def draw_maps(
    layers: Sequence[Layer],
    shape: Tuple[int, ...],
    rng: np.random.Generator,
    source: np.ndarray,
) -> np.ndarray:
    """Draw layers on maps, float32 (R, H, W); ``source`` is for copies."""
    maps = np.zeros(shape, np.float32)
    for layer in layers:
        values = make_values(layer, shape, rng, source)
        with np.errstate(all='ignore'):
            values = values * np.float32(layer.amplitude)
            values = values + np.float32(layer.offset)
            if layer.operation == 'add':
                values = values + maps
            elif layer.operation == 'multiply':
                values = values * maps
        np.copyto(maps, values, where=mark_region(layer, shape, rng))
    return maps


def make_maps(
    inputs: Inputs, shape: Shape = (KEYPOINTS, SIDE, SIDE)
) -> Tuple[np.ndarray, np.ndarray]:
    """Make the maps of an input.

    Args:
        inputs (Inputs): Description.
        shape (tuple): Shape ``(K, H, W)`` of the heatmaps.

    Returns:
        tuple[np.ndarray, np.ndarray]: float32 heatmaps (K, H, W) and tags
        (L*K, h, w).
    """
    rng = np.random.default_rng(inputs.seed)
    count, scale = shape[0], inputs.tag_scale
    small = (shape[1] // scale, shape[2] // scale)
    tag_shape = (inputs.tag_dim * count, *small)
    # A copy in tags is that of the keypoint before, in heatmaps of the tags.
    source = rng.random((1, *small), np.float32)
    tags = draw_maps(
        inputs.tags, tag_shape, rng, np.broadcast_to(source, tag_shape)
    )
    source = tags[:count].repeat(scale, axis=1).repeat(scale, axis=2)
    return draw_maps(inputs.heatmaps, shape, rng, source), tags


def measure(
    decode: Decode, inputs: Inputs, slow: float, repeats: int = 2
) -> Measured:
    """Measure the CPU seconds of decoding.

    Args:
        decode (Callable): Decoder.
        inputs (Inputs): Description of the maps.
        slow (float): Seconds above which the measurement is repeated; the
            smallest one counts.
        repeats (int): Maximum number of measurements.

    Returns:
        Measured: Measurement.
    """
    heatmaps, tags = make_maps(inputs)
    seconds: List[float] = []
    people = cut_off = 0
    while not seconds or (len(seconds) < repeats and min(seconds) > slow):
        started = time.process_time()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            people = decode(heatmaps, tags)
        seconds.append(time.process_time() - started)
        cut_off = sum('bounded time' in str(w.message) for w in caught)
    return Measured(min(seconds), people, cut_off, inputs)


def search(
    decode: Decode, is_over: Callable[[int], bool], rng: np.random.Generator
) -> List[Measured]:
    """Evolve inputs whose decoding takes longest.

    Args:
        decode (Callable): Decoder.
        is_over (Callable): Whether to end after a number of inputs.
        rng (np.random.Generator): Random numbers.

    Returns:
        list[Measured]: Inputs, the slowest first.
    """
    found: List[Measured] = []
    number = 0
    while not is_over(number):
        if len(found) < NUM_PARENTS or rng.random() < RANDOM_SHARE:
            inputs = draw_inputs(rng)
        else:
            # Better ones more often.
            ranks = (NUM_PARENTS * rng.random(2) ** 2).astype(int)
            one, other = (found[rank].inputs for rank in ranks)
            inputs = mutate(one, other, rng)
        slow = found[-1].seconds if len(found) >= NUM_PARENTS else 0.0
        found.append(measure(decode, inputs, slow))
        found = sorted(found, key=lambda m: -m.seconds)[: 2 * NUM_PARENTS]
        number += 1
    return found


def make_codec_decoder() -> Decode:
    """Make a decoder of the package, with one thread."""
    import torch

    from swahr_mmpose import ScaleAwareAssociativeEmbedding

    torch.set_num_threads(1)
    codec = ScaleAwareAssociativeEmbedding(
        input_size=(SIDE, SIDE),
        heatmap_sizes=[(SIDE // 4, SIDE // 4), (SIDE // 2, SIDE // 2)],
        decode_keypoint_order=list(range(KEYPOINTS)),
    )

    def decode(heatmaps: np.ndarray, tags: np.ndarray) -> int:
        maps, tag_maps = map(torch.from_numpy, (heatmaps, tags))
        return len(codec.batch_decode(maps[None], tag_maps[None])[0][0])

    return decode


def make_runtime_decoder() -> Decode:
    """Make a decoder of the ONNX runtime."""
    from swahr_mmpose.deploy.runtime.decode import decode
    from swahr_mmpose.deploy.runtime.metadata import Codec, Settings

    settings = Settings(
        format=1,
        input_size=SIDE,
        size_factor=64,
        unbiased=False,
        mean=[0, 0, 0],
        std=[1, 1, 1],
        channel_order='rgb',
        keypoints=[str(i) for i in range(KEYPOINTS)],
        skeleton=[],
        flip_indices=list(range(KEYPOINTS)),
        flip_test=False,
        fused=True,
        heatmap_levels=[0],
        stride=1,
        finest_stride=1,
        codec=Codec(
            keypoint_order=list(range(KEYPOINTS)),
            nms_kernel=5,
            keypoint_thr=0.1,
            tag_thr=1.0,
            topk=30,
            max_instances=None,
        ),
    )

    def count_people(heatmaps: np.ndarray, tags: np.ndarray) -> int:
        return len(decode(heatmaps, tags, settings).scores)

    return count_people


DECODERS = dict(codec=make_codec_decoder, runtime=make_runtime_decoder)


def describe(layers: Sequence[Layer]) -> str:
    """Describe layers in a cell of the table."""
    return '; '.join(
        f'{m.operation} {m.kind} {m.amplitude:.3g}{m.offset:+.3g} /{m.count}'
        f' in {m.region} of {m.part}'
        for m in layers
    )


def print_table(target: str, found: Sequence[Measured], number: int) -> None:
    """Print the slowest inputs as a Markdown table."""
    print(f'\n{target}: {number} inputs\n')
    print('| seconds | people | cut off | L | tags | heatmaps | tags |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for m in found:
        inputs = m.inputs
        print(
            f'| {m.seconds:.2f} | {m.people} | {m.cut_off} | '
            f'{inputs.tag_dim} | 1/{inputs.tag_scale} | '
            f'{describe(inputs.heatmaps)} | {describe(inputs.tags)} |'
        )
    print(f'\nThe slowest one, for `make_maps`:\n\n    {found[0].inputs}')


def main() -> None:
    """Search and print the tables."""
    from swahr_mmpose.utils.cli import make_parser

    parser = make_parser(__doc__)
    parser.add_argument(
        '--targets', nargs='+', choices=list(DECODERS), default=list(DECODERS),
        help='decoders to search for',
    )  # fmt: skip
    parser.add_argument(
        '--minutes', type=float, default=5.0, help='time of each target'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the RNG')
    parser.add_argument(
        '--top', type=int, default=10, help='inputs in each table'
    )
    parser.add_argument(
        '--limit', type=float, default=1.0,
        help='exit status 1 if an input takes more CPU seconds than this',
    )  # fmt: skip
    args = parser.parse_args()
    worst = 0.0
    for target in args.targets:
        end = time.monotonic() + 60 * args.minutes
        numbers: List[int] = []

        def is_over(number: int, end: float, numbers: List[int]) -> bool:
            numbers[:] = [number]
            return time.monotonic() > end

        found = search(
            DECODERS[target](),
            partial(is_over, end=end, numbers=numbers),
            np.random.default_rng(args.seed),
        )
        print_table(target, found[: args.top], numbers[0])
        worst = max(worst, *(m.seconds for m in found))
    sys.exit(worst > args.limit)


if __name__ == '__main__':
    main()
