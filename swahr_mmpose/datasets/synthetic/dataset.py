# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make a small COCO keypoint dataset of synthetic people or beetles.

Each image is a function of (seed, split, index): the same arguments give the
same files. The folder is written atomically::

    OUT/dataset.json                        format version, arguments, counts
    OUT/annotations/{person,beetle}_keypoints_{train,val}.json
    OUT/images/{train,val}/000000000001.jpg numbered consecutively, train first
"""

from __future__ import annotations

import json
import math
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

import cv2
import numpy as np

from . import scene
from .canvas import Person
from .coco_records import make_crowd_record, make_document, make_person_record
from .config import KINDS, PEOPLE_ODDS, SyntheticConfig
from .difficulty import move_labels, reduce_quality

__all__ = ['FORMAT_VERSION', 'is_complete', 'make_synthetic_dataset']

FORMAT_VERSION = 1  # increment when the same arguments give other data
SPLITS = ('train', 'val')
ANNOTATION_FILE = 'annotations/{}_keypoints_{}.json'
# Keys that annotations of other datasets often lack, and bare ones do.
OPTIONAL_KEYS = ('area', 'bbox', 'iscrowd', 'num_keypoints', 'segmentation')
EMPTY_EVERY, EMPTY_AT = 12, 7  # images 7, 19, 31.. of a split have no instance
CROWD_EVERY, CROWD_AT = 8, 2  # images 2, 10, 18.. have a crowd; never both
MIN_VISIBLE = 0.3  # minimum fraction of visible keypoints of a person
NUM_GREYS = 6  # shades of clothes, black to white
MAX_TRIES = 8  # positions tried for a person before it is omitted
JPEG_OPTIONS = [cv2.IMWRITE_JPEG_QUALITY, 95]  # preserves hues of markers

Progress = Optional[Callable[[int, int], None]]  # called with (done, total)


class _Scene(NamedTuple):
    """BGR image, uint8 (h, w, 3), its people, and crowd mask, bool (h, w)."""

    image: np.ndarray
    people: List[Person]
    crowd: np.ndarray


def make_synthetic_dataset(
    out_dir: Union[str, Path],
    *,
    num_train: int = SyntheticConfig.num_train,
    num_val: int = SyntheticConfig.num_val,
    image_size: Tuple[int, int] = SyntheticConfig.image_size,
    min_height: int = SyntheticConfig.min_height,
    max_height: int = SyntheticConfig.max_height,
    seed: int = SyntheticConfig.seed,
    kind: str = SyntheticConfig.kind,
    bare: bool = SyntheticConfig.bare,
    annotation_noise: float = SyntheticConfig.annotation_noise,
    small_difficulty: float = SyntheticConfig.small_difficulty,
    max_people: int = SyntheticConfig.max_people,
    overwrite: bool = False,
    progress: Progress = None,
) -> Dict:
    """Write a synthetic dataset, atomically.

    Args:
        out_dir (str | Path): Folder to make; it must not exist or be empty.
        num_train (int): Number of training images. Defaults to 256.
        num_val (int): Number of validation images. Defaults to 48.
        image_size (tuple[int, int]): ``(width, height)`` of the images in px.
            Defaults to (448, 360).
        min_height (int): Minimum height of a standing person in px. Defaults
            to 32.
        max_height (int): Maximum height of a standing person in px. Defaults
            to 340.
        seed (int): Seed of the random number generator. Defaults to 0.
        kind (str): Kind of instances: ``'people'`` with coloured markers on
            the joints, ``'clothed_people'`` or ``'beetles'``. Defaults to
            ``'people'``.
        bare (bool): Whether to annotate keypoints only, without bbox, area,
            segmentation, num_keypoints and iscrowd. Defaults to False.
        annotation_noise (float): Standard deviation of the annotated
            keypoints of the training set, see
            :func:`.difficulty.move_labels`. Images and validation set do not
            depend on it. Defaults to 0.
        small_difficulty (float): Loss of contrast and sharpness of the
            smallest people, from 0 to 1; the tallest lose nothing. Defaults
            to 0.
        max_people (int): Maximum number of instances of an image, 1 to 6.
            Defaults to 6.
        overwrite (bool): Whether to replace a dataset made by this function.
            Defaults to False.
        progress (Callable, optional): Called as ``progress(done, total)``
            after each image. Defaults to None.

    Returns:
        dict: ``{'out_dir': str, 'train': counts, 'val': counts}`` with the
        numbers of ``images``, ``people`` and ``crowds``.

    Raises:
        FileExistsError: If ``out_dir`` exists, is not empty and may not be
            replaced.
        ValueError: If an argument is out of its range.
    """
    config = SyntheticConfig(
        num_train,
        num_val,
        image_size,
        min_height,
        max_height,
        seed,
        kind,
        bare,
        annotation_noise,
        small_difficulty,
        max_people,
    )
    out = Path(out_dir).resolve()
    _check_target(out, overwrite)
    with _replaced_folder(out) as partial:
        counts = _write_dataset(partial, config, progress)
    return {'out_dir': str(out), **counts}


@contextmanager
def _replaced_folder(out: Path) -> Iterator[Path]:
    """Make a temporary folder; move it to ``out``, or remove it on errors."""
    # A sibling, so that both are on one file system.
    partial = out.with_name(f'.{out.name}.{uuid.uuid4().hex}.partial')
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    except BaseException:  # also KeyboardInterrupt
        shutil.rmtree(partial, ignore_errors=True)
        raise


def is_complete(out_dir: Union[str, Path], **arguments: Any) -> bool:
    """Check whether a folder holds the dataset of some arguments.

    Args:
        out_dir (str | Path): Folder to check.
        **arguments: Arguments of :func:`make_synthetic_dataset`, from
            ``num_train`` to ``max_people``.

    Returns:
        bool: Whether format version, arguments and number of files agree.

    Raises:
        ValueError: If an argument is out of its range.
    """
    config, root = SyntheticConfig(**arguments), Path(out_dir)
    category = KINDS[config.kind].category
    expected = json.loads(json.dumps(_describe(config), default=int))
    try:
        actual = json.loads((root / 'dataset.json').read_text('utf-8'))
        num_images = [
            len(list((root / 'images' / s).glob('*.jpg'))) for s in SPLITS
        ]
        return (
            {key: actual[key] for key in expected} == expected
            and num_images == [config.num_train, config.num_val]
            and all(
                (root / ANNOTATION_FILE.format(category, s)).is_file()
                for s in SPLITS
            )
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _check_target(out: Path, overwrite: bool) -> None:
    """Raise FileExistsError unless a folder may be written or replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(
            f'{out} exists and is not empty, expected a new or empty folder; '
            'choose another one or pass overwrite (--overwrite)'
        )
    if not (out / 'dataset.json').is_file():
        raise FileExistsError(
            f'{out} has no dataset.json, expected a synthetic dataset to '
            'overwrite; choose another folder or remove it yourself'
        )


def _write_dataset(
    root: Path, config: SyntheticConfig, progress: Progress
) -> Dict:
    """Write a dataset into an empty folder; return the counts."""
    (root / 'annotations').mkdir()
    total, image_id, counts = config.num_train + config.num_val, 0, {}
    kind = KINDS[config.kind]
    for split, number in zip(SPLITS, (config.num_train, config.num_val)):
        folder = root / 'images' / split
        folder.mkdir(parents=True)
        document = make_document(kind.category, kind.keypoints, kind.skeleton)
        for index in range(number):
            image_id += 1
            drawn = _draw_scene(config, split, index)
            _add_image(folder, document, image_id, drawn, config.bare)
            if progress:
                progress(image_id, total)
        path = root / ANNOTATION_FILE.format(kind.category, split)
        _write_json(path, document)
        crowds = [a.get('iscrowd', 0) for a in document['annotations']]
        counts[split] = {
            'images': number,
            'people': crowds.count(0),
            'crowds': crowds.count(1),
        }
    _write_json(root / 'dataset.json', {**_describe(config), **counts})
    return counts


def _write_json(path: Path, content: Dict) -> None:
    path.write_text(json.dumps(content, default=int), encoding='utf-8')


def _describe(config: SyntheticConfig) -> Dict:
    """Describe a dataset for dataset.json: format version and arguments."""
    arguments = asdict(config)
    # Omitted by default, as in files written before these arguments existed.
    for key, default in (
        ('kind', 'people'),
        ('bare', False),
        ('annotation_noise', 0),
        ('small_difficulty', 0),
        ('max_people', len(PEOPLE_ODDS)),
    ):
        if arguments[key] == default:
            del arguments[key]
    return {'format_version': FORMAT_VERSION, 'arguments': arguments}


def _add_image(
    folder: Path, document: Dict, image_id: int, drawn: _Scene, bare: bool
) -> None:
    """Write an image and add its annotations to the document."""
    height, width = drawn.crowd.shape
    name = f'{image_id:012d}.jpg'
    jpeg = cv2.imencode('.jpg', drawn.image, JPEG_OPTIONS)[1]
    (folder / name).write_bytes(jpeg.tobytes())
    document['images'].append(
        {
            'id': image_id,
            'file_name': name,
            'license': 1,
            'width': width,
            'height': height,
        }
    )
    records = [make_person_record(p) for p in drawn.people]
    records += [make_crowd_record(drawn.crowd)] if drawn.crowd.any() else []
    annotations = document['annotations']
    for record in records:
        for key in OPTIONAL_KEYS if bare else ():
            del record[key]
        annotations.append(
            {
                'id': len(annotations) + 1,
                'image_id': image_id,
                'category_id': 1,
                **record,
            }
        )


def _draw_scene(config: SyntheticConfig, split: str, index: int) -> _Scene:
    """Draw an image; its random numbers depend on these arguments only."""
    rng = np.random.default_rng([config.seed, SPLITS.index(split), index])
    image = scene.draw_background(rng, config.image_size)
    bars = scene.draw_bars(rng, config.image_size)
    people = (
        []
        if index % EMPTY_EVERY == EMPTY_AT
        else _place_people(rng, config, bars[..., 3] > 0)
    )
    crowd = np.zeros(image.shape[:2], bool)
    kind = KINDS[config.kind]
    if kind.crowds and index % CROWD_EVERY == CROWD_AT:
        crowd = scene.draw_crowd(rng, image, people, kind.draw)
    for layer in (*(p.layer for p in people), bars):
        scene.paste(image, layer)
    image = scene.add_noise(rng, image)
    return _Scene(image, _label_people(config, split, index, people), crowd)


def _label_people(
    config: SyntheticConfig, split: str, index: int, people: List[Person]
) -> List[Person]:
    """Add annotation noise to the people of a training image."""
    if not config.annotation_noise or split != 'train':
        return people
    # Random numbers of their own: the images do not depend on the noise.
    rng = np.random.default_rng([config.seed, 2, index])
    sigmas, factor = KINDS[config.kind].sigmas, config.annotation_noise
    return [move_labels(rng, p, sigmas, factor) for p in people]


def _place_people(
    rng: np.random.Generator, config: SyntheticConfig, bars: np.ndarray
) -> List[Person]:
    """Draw some people, the tallest first so that small ones show.

    A person who would be hardly visible, or would hide another one too much,
    is tried at other positions and then omitted.

    Args:
        rng (Generator): Random number generator.
        config (SyntheticConfig): Settings of the dataset.
        bars (np.ndarray): Mask of the bars, bool (h, w).

    Returns:
        list[Person]: People with visibility, in the order of drawing.
    """
    odds = np.array(PEOPLE_ODDS[: config.max_people])
    number = 1 + rng.choice(len(odds), p=odds / odds.sum())
    # One height from each of `number` equal parts of the logarithmic range:
    # uniform overall, and very different within an image.
    parts = (np.arange(number)[::-1] + rng.random(number)) / number
    ratio = config.max_height / config.min_height
    # All people of an image wear different greys.
    greys = rng.permutation(NUM_GREYS)[:number] / (NUM_GREYS - 1)
    people: List[Person] = []
    for height, grey in zip(config.min_height * ratio**parts, greys):
        person = KINDS[config.kind].draw(rng, height, grey)
        if config.small_difficulty:
            smallness = math.log(config.max_height / height)
            smallness /= max(math.log(ratio), 1e-9)
            amount = config.small_difficulty * smallness
            person = reduce_quality(person, amount)
        for _ in range(MAX_TRIES):
            moved = scene.place_randomly(rng, person, config.image_size)
            trial = scene.label_visibility([*people, moved], bars)
            if all(np.mean(p.visibility == 2) >= MIN_VISIBLE for p in trial):
                people = trial
                break
    return people
