"""Copy the part of the reference arrays that the tests keep here.

  python tests/golden/make_subset.py FOLDER_OF_REFERENCE_ARRAYS

Images, and arrays made of the pixels of photographs, are left out.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
WHOLE = [
    'ae_loss.npz',
    'affine.npz',
    'loss_00.npz',
    'loss_03.npz',
    'loss_05.npz',
    'loss_06.npz',
    'loss_multi.npz',
    'schedule.json',
    'targets.npz',
]
DECODE_CASES = (
    'people0',
    'people1',
    'one_tag_channel',
    'border',
    'plateau',
    'equal_tags',
    'crowdpose14_people4',
)


def keep(source, name, wanted):
    """Write the wanted keys of an archive."""
    with np.load(source / name) as archive:
        kept = {k: archive[k] for k in archive if wanted(k)}
    np.savez_compressed(HERE / name, **kept)


def main():
    """Copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path)
    source = parser.parse_args().source
    for name in WHOLE:
        shutil.copyfile(source / name, HERE / name)
    keep(source, 'decode.npz', lambda k: k.split('/')[0] in DECODE_CASES)
    keep(source, 'model.npz', lambda k: k.startswith('k17/'))
    keep(source, 'preprocess.npz', lambda k: k.startswith('table'))


if __name__ == '__main__':
    main()
