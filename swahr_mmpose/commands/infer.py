# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Find people in pictures, a folder, a video or a camera's frames.

  %(prog)s CONFIG CHECKPOINT photos/ --out-dir drawn
  # results in COCO's form, four images at a time, nobody twice
  %(prog)s CONFIG CHECKPOINT a.jpg b.png photos/ \
      --json people.json --batch-size 4 --pose-nms 0.7
  # a video with skeletons: drawn/walk.mp4; every second frame
  %(prog)s CONFIG CHECKPOINT walk.mp4 --out-dir drawn --every 2
  # the first camera, until q or Ctrl-C
  %(prog)s CONFIG CHECKPOINT webcam:0 --show --threshold 0.4

Config and checkpoint are all it needs, no files of the data set.  Files are
there as a whole at the end; an error or Ctrl-C leaves neither results nor
video, except that a camera's are complete when it is stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack, closing, contextmanager

from mmengine.config import Config
from mmengine.device import get_device
from tqdm import tqdm

from swahr_mmpose.apis.inferencer import Inferencer
from swahr_mmpose.apis.input_sources import open_source
from swahr_mmpose.apis.output_sinks import (
    LiveVideoWriter,
    PictureFolder,
    Window,
    refuse_to_overwrite,
)
from swahr_mmpose.apis.video import VideoWriter
from swahr_mmpose.evaluation.coco_results import (
    CocoResultsWriter,
    image_ids,
    images_file,
    results_of,
)
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    make_parser,
    user_errors,
)


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        'inputs',
        nargs='+',
        help='pictures and folders; or one video; or webcam:NUMBER',
    )
    parser.add_argument('--json', metavar='FILE', help='results, COCO form')
    parser.add_argument(
        '--out-dir', metavar='DIR', help='drawings; a video for a video'
    )
    parser.add_argument(
        '--as-pictures',
        action='store_true',
        help='draw the frames of a video as pictures',
    )
    parser.add_argument(
        '--show', action='store_true', help='show drawings; q ends'
    )
    parser.add_argument(
        '--wait-time', type=float, default=1, help='seconds a picture is shown'
    )
    _add_choices_of_people(parser)
    _add_ways_of_working(parser)
    args = parser.parse_args(argv)
    if not (args.json or args.out_dir or args.show):
        parser.error('give --json, --out-dir or --show, or all is for nothing')
    return args


def _add_choices_of_people(parser):
    parser.add_argument(
        '--threshold',
        type=float,
        default=0.2,
        help='people that score at least this',
    )
    parser.add_argument(
        '--max-people', type=int, metavar='N', help='the N best of an image'
    )
    parser.add_argument(
        '--pose-nms',
        type=float,
        metavar='OKS',
        help='people more alike than this (0 to 1) are one; try 0.7',
    )
    parser.add_argument(
        '--kpt-thr',
        type=float,
        default=0.1,
        help='draw keypoints that score more',
    )
    parser.add_argument(
        '--no-flip', action='store_true', help='not the mirrored image too'
    )


def _add_ways_of_working(parser):
    parser.add_argument(
        '--device', default=get_device(), help='cpu, cuda, cuda:1'
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, help='images at a time'
    )
    parser.add_argument(
        '--every', type=int, default=1, help='take one image of so many'
    )
    parser.add_argument(
        '--on-error',
        choices=['stop', 'skip'],
        default='stop',
        help='at a picture that cannot be read',
    )
    parser.add_argument(
        '--ignore-exif',
        action='store_true',
        help='leave pictures as they are stored, as annotations of COCO do',
    )
    add_cfg_options(parser)


class Outputs:
    """All that is made of the results: files, drawings, a window, numbers."""

    def __init__(self, args, source, metainfo):
        self.args, self.source, self.metainfo = args, source, metainfo
        self.images = self.people = 0
        self.skipped, self.places = [], []
        self.began = time.monotonic()
        pictures = source.items if source.kind == 'pictures' else []
        ids = image_ids(item.name for item in pictures)
        self.ids = dict(zip((item.index for item in pictures), ids or ()))
        self.inputs = [source.path, *(item.path for item in pictures)]

    def __enter__(self):
        """Open what was asked for."""
        args, self.results, self.window = self.args, None, None
        self.draw = None
        with ExitStack() as stack:
            if args.json:
                writer = CocoResultsWriter(args.json, self.metainfo)
                self.results = stack.enter_context(writer)
                self.places.append(('results', args.json))
                self.places.append(('images', images_file(args.json)))
            if args.out_dir:
                self._open_drawings(stack)
            if args.show:
                still = self.source.kind == 'pictures'
                wait = args.wait_time if still else 0.001
                window = Window(self.source.name, wait)
                self.window = stack.enter_context(window)
            total = self.source.count
            self.bar = stack.enter_context(tqdm(total=total, unit=' images'))
            self.stack = stack.pop_all()
        return self

    def _open_drawings(self, stack):
        kind, folder = self.source.kind, self.args.out_dir
        if kind == 'pictures' or self.args.as_pictures:
            refuse_to_overwrite(self.inputs, [folder])
            self.draw = PictureFolder(folder).write
        else:
            stem = os.path.splitext(self.source.name)[0]
            folder = os.path.join(folder, f'{stem}.mp4')
            refuse_to_overwrite(self.inputs, [folder])
            writer = LiveVideoWriter if kind == 'camera' else VideoWriter
            video = writer(folder, self.source.fps or 25)
            stack.enter_context(video)
            self.draw = lambda name, image: video.write(image)
        self.places.append(('drawings', folder))

    def take(self, result):
        """Write and show a result; False to end."""
        self.images += 1
        self.people += len(result.scores)
        self.bar.set_postfix(people=self.people, refresh=False)
        self.bar.update()
        if self.results:
            people = results_of(
                self.ids.get(result.index, result.index),
                result.keypoints,
                result.keypoint_scores,
                result.scores,
            )
            self.results.write(
                self.ids.get(result.index, result.index),
                result.name,
                result.image.shape[1::-1],
                people,
            )
        if not (self.draw or self.window):
            return True
        drawn = result.drawn(self.args.kpt_thr)
        if self.draw:
            self.draw(result.name, drawn)
        return self.window is None or self.window.show(drawn)

    def skip(self, item, error):
        """Tell of a picture that cannot be read, and go on."""
        self.skipped.append(item.path or item.name)
        self.bar.update()
        tqdm.write(f'skipped: {error}', file=sys.stderr)

    def __exit__(self, *error):
        """Put files in their places, or remove them."""
        return self.stack.__exit__(*error)

    def summary(self):
        """Numbers, and where files are."""
        seconds = time.monotonic() - self.began
        yield (
            f'{self.images} images, {self.people} people, {seconds:.1f} s '
            f'({self.images / max(seconds, 1e-9):.1f} images/s)'
        )
        if self.skipped:
            names = ', '.join(self.skipped[:5])
            yield f'{len(self.skipped)} images were skipped: {names}'
        for what, place in self.places:
            yield f'{what} are in {os.path.abspath(place)}'


@contextmanager
def stop_signal(wanted):
    """A list that is filled at the first Ctrl-C; the second one raises."""
    stopped = []

    def stop(*_):
        stopped.append(True)
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    if wanted:
        signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def main(argv: Argv = None) -> None:
    """Look for people."""
    args = parse_args(argv)
    with user_errors():
        look(args)


def look(args):
    """Look for people, and write what was found."""
    source = open_source(args.inputs, args.every)
    if source.left_out:
        names = ', '.join(os.path.basename(p) for p in source.left_out[:5])
        print(f'{len(source.left_out)} files are no pictures: {names}')
    infer = Inferencer(
        Config.fromfile(args.config),
        args.checkpoint,
        args.device,
        threshold=args.threshold,
        max_people=args.max_people,
        nms=args.pose_nms,
        batch_size=args.batch_size,
        flip=False if args.no_flip else None,
        ignore_orientation=args.ignore_exif,
        cfg_options=args.cfg_options,
    )
    outputs = Outputs(args, source, infer.metainfo)
    on_error = outputs.skip if args.on_error == 'skip' else None
    with stop_signal(source.kind == 'camera') as stopped, outputs:
        with closing(infer(source, on_error=on_error)) as results:
            for result in results:
                if not outputs.take(result) or stopped:
                    break
    print('\n'.join(outputs.summary()))
