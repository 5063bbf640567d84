# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Makes a small COCO keypoint data set of drawn people or beetles.

Every picture is a function of (seed, split, index) alone: the same arguments
give the same files. The directory appears in one step when all is written::

    OUT/dataset.json                        format version, arguments, counts
    OUT/annotations/{person,beetle}_keypoints_{train,val}.json
    OUT/images/{train,val}/000000000001.jpg numbered through, train first
"""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import cv2
import numpy as np

from . import scene
from .canvas import Person
from .coco_records import crowd_record, empty_document, person_record
from .config import KINDS, SyntheticConfig

FORMAT_VERSION = 1  # raise it whenever the same arguments give other data
SPLITS = ('train', 'val')
ANNOTATION_FILE = 'annotations/{}_keypoints_{}.json'
# What annotations of others often lack, and bare ones do.
OPTIONAL = ('area', 'bbox', 'iscrowd', 'num_keypoints', 'segmentation')
EMPTY_EVERY, EMPTY_AT = 12, 7  # pictures 7, 19, 31.. of a split show nobody
CROWD_EVERY, CROWD_AT = 8, 2  # pictures 2, 10, 18.. show a crowd; never both
PEOPLE_ODDS = (0.15, 0.2, 0.2, 0.2, 0.15, 0.1)  # of one, two.. six people
MIN_VISIBLE = 0.3  # share of the keypoints that a person must show
NUM_GREYS = 6  # of clothes, black to white
TRIES = 8  # places tried for a person before it is left out
JPEG_OPTIONS = [cv2.IMWRITE_JPEG_QUALITY, 95]  # keeps small markers' hues

Progress = Optional[Callable[[int, int], None]]  # of (done, total)
# A (h, w, 3) uint8 picture, the people, and the (h, w) bool crowd mask.
Scene = Tuple[np.ndarray, List[Person], np.ndarray]


def _place_people(
    rng: np.random.Generator, config: SyntheticConfig, bars: np.ndarray
) -> List[Person]:
    """Draws up to six people, the tallest first so that the small ones show.

    Someone who would be hardly visible, or would hide another so far, is
    tried elsewhere and then left out. ``bars`` is a (h, w) bool mask.
    """
    number = 1 + rng.choice(len(PEOPLE_ODDS), p=PEOPLE_ODDS)
    # One height from each of `number` equal parts of the logarithmic range:
    # uniform in all, and very different within a picture.
    parts = (np.arange(number)[::-1] + rng.random(number)) / number
    ratio = config.max_height / config.min_height
    # No two people of a picture wear the same grey.
    greys = rng.permutation(NUM_GREYS)[:number] / (NUM_GREYS - 1)
    people: List[Person] = []
    for height, grey in zip(config.min_height * ratio**parts, greys):
        person = KINDS[config.kind].draw(rng, height, grey)
        for _ in range(TRIES):
            moved = scene.move_somewhere(rng, person, config.image_size)
            trial = scene.label_visibility([*people, moved], bars)
            if all(np.mean(p.visibility == 2) >= MIN_VISIBLE for p in trial):
                people = trial
                break
    return people


def _draw_scene(config: SyntheticConfig, split: str, index: int) -> Scene:
    """Draws a picture; all its randomness comes from these arguments."""
    rng = np.random.default_rng([config.seed, SPLITS.index(split), index])
    image = scene.draw_background(rng, config.image_size)
    bars = scene.draw_bars(rng, config.image_size)
    people = (
        []
        if index % EMPTY_EVERY == EMPTY_AT
        else _place_people(rng, config, bars[..., 3] > 0)
    )
    crowd = np.zeros(image.shape[:2], bool)
    if KINDS[config.kind].crowds and index % CROWD_EVERY == CROWD_AT:
        crowd = scene.draw_crowd(rng, image, people)
    for layer in (*(p.layer for p in people), bars):
        scene.paste(image, layer)
    return scene.add_noise(rng, image), people, crowd


def _add_picture(
    folder: Path, document: Dict, image_id: int, scene: Scene, bare: bool
) -> None:
    """Writes a picture and adds what it shows to its split's document."""
    pixels, people, crowd = scene
    height, width = crowd.shape
    name = f'{image_id:012d}.jpg'
    jpeg = cv2.imencode('.jpg', pixels, JPEG_OPTIONS)[1]
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
    records = [person_record(p) for p in people]
    records += [crowd_record(crowd)] if crowd.any() else []
    annotations = document['annotations']
    for record in records:
        for key in OPTIONAL if bare else ():
            del record[key]
        annotations.append(
            {
                'id': len(annotations) + 1,
                'image_id': image_id,
                'category_id': 1,
                **record,
            }
        )


def _write(root: Path, config: SyntheticConfig, progress: Progress) -> Dict:
    """Writes a data set into an empty directory; returns the counts."""
    (root / 'annotations').mkdir()
    total, image_id, counts = config.num_train + config.num_val, 0, {}
    kind = KINDS[config.kind]
    for split, number in zip(SPLITS, (config.num_train, config.num_val)):
        folder, document = root / 'images' / split, empty_document(*kind[:3])
        folder.mkdir(parents=True)
        for index in range(number):
            image_id += 1
            drawn = _draw_scene(config, split, index)
            _add_picture(folder, document, image_id, drawn, config.bare)
            if progress:
                progress(image_id, total)
        path = root / ANNOTATION_FILE.format(kind.category, split)
        _write_json(path, document)
        kinds = [a.get('iscrowd', 0) for a in document['annotations']]
        counts[split] = {
            'images': number,
            'people': kinds.count(0),
            'crowds': kinds.count(1),
        }
    _write_json(root / 'dataset.json', {**_identity(config), **counts})
    return counts


def _write_json(path: Path, content: Dict) -> None:
    path.write_text(json.dumps(content, default=int), encoding='utf-8')


def _identity(config: SyntheticConfig) -> Dict:
    """What dataset.json says of the data set's making."""
    arguments = asdict(config)
    # The first data sets were made before there were others.
    for key, first in (('kind', 'people'), ('bare', False)):
        if arguments[key] == first:
            del arguments[key]
    return {'format_version': FORMAT_VERSION, 'arguments': arguments}


def _refuse_to_destroy(out: Path, overwrite: bool) -> None:
    """Raises FileExistsError unless ``out`` may be written or replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(
            f'{out} exists and is not empty, expected a new or empty '
            'directory; choose another one or pass overwrite (--overwrite)'
        )
    if not (out / 'dataset.json').is_file():
        raise FileExistsError(
            f'{out} has no dataset.json, expected a data set made here to '
            'overwrite; choose another directory or remove it yourself'
        )


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
    overwrite: bool = False,
    progress: Progress = None,
) -> Dict:
    """Writes the data set, or nothing at all when something fails.

    Args:
        out_dir: directory to make; it must not exist or be empty.
        num_train: number of training pictures.
        num_val: number of validation pictures.
        image_size: (width, height) in px.
        min_height: smallest standing height of a person in px.
        max_height: largest standing height in px.
        seed: of all randomness, 0 or more.
        kind: ``'people'`` or ``'beetles'``.
        bare: annotate keypoints alone: no boxes, areas, outlines, counts.
        overwrite: replace a data set that this function made.
        progress: called as progress(done, total) after each picture.

    Returns:
        ``{'out_dir': str, 'train': counts, 'val': counts}`` with the numbers
        of ``images``, ``people`` and ``crowds``.

    Raises:
        FileExistsError: when ``out_dir`` holds something to keep.
        ValueError: when an argument is out of its range.
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
    )
    out = Path(out_dir).resolve()
    _refuse_to_destroy(out, overwrite)
    # A sibling, so that the renaming stays within one file system.
    partial = out.with_name(f'.{out.name}.{uuid.uuid4().hex}.partial')
    partial.mkdir(parents=True)
    try:
        counts = _write(partial, config, progress)
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    except BaseException:  # also when interrupted from the keyboard
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return {'out_dir': str(out), **counts}


def is_complete(out_dir: Union[str, Path], **arguments: Any) -> bool:
    """Whether a directory already holds exactly the data set wanted.

    Args:
        out_dir: directory to look at.
        arguments: as for ``make_synthetic_dataset``, from num_train to bare.
    """
    config, root = SyntheticConfig(**arguments), Path(out_dir)
    category = KINDS[config.kind].category
    wanted = json.loads(json.dumps(_identity(config), default=int))
    try:
        found = json.loads((root / 'dataset.json').read_text('utf-8'))
        pictures = [
            len(list((root / 'images' / s).glob('*.jpg'))) for s in SPLITS
        ]
        return (
            {key: found[key] for key in wanted} == wanted
            and pictures == [config.num_train, config.num_val]
            and all(
                (root / ANNOTATION_FILE.format(category, s)).is_file()
                for s in SPLITS
            )
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False
