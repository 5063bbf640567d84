# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Write docs/experiments.md and the table of the README from the metafiles.

  python tools/dev/make_tables.py
  # in CI: are they as they would be written?
  python tools/dev/make_tables.py --check

The metafiles are those that model-index.yml names, a YAML file in each folder
of configs. "Published" there are others' numbers; "Results" are those of runs
of this repository.
"""

import os.path as osp
import sys
from pathlib import Path

import yaml

from swahr_mmpose.utils.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]
COCO = ('AP', 'AP@0.5', 'AP@0.75', 'AP (M)', 'AP (L)')
CROWDPOSE = ('AP', 'AP@0.5', 'AP@0.75', 'AP (E)', 'AP (M)', 'AP (H)')
BEGIN, END = '<!-- table of models -->', '<!-- end of table -->'
INTRO = """# Experiments

Made by `tools/dev/make_tables.py` from the metafiles in `configs/`; do not edit.

Every experiment of the paper's Tables 1 to 9 as a config. *Published* are the
numbers of the paper, or of whom is named; *here* are runs of this repository,
empty until there is one. Unless the difference says otherwise: HigherHRNet-W32
on COCO train2017, input 512, sigma 2, Adam with rate 2e-3 for 160 images, 300
epochs, from ImageNet; tested at one scale with the mirrored image.

A variant named `multi-scale` or `test-dev` is a way to test: it takes the
checkpoint of the config without that ending.
"""


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--check', action='store_true', help='write nothing; exit with 1 '
        'where a file would change'
    )  # fmt: skip
    return parser.parse_args()


def read_models():
    """All models of all metafiles."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    models = []
    for path in index['Import']:
        content = yaml.safe_load((ROOT / path).read_text(encoding='utf-8'))
        models += content['Models']
    return models


def number(metrics, key):
    """A metric as it is printed, percent."""
    value = metrics.get(key)
    return '' if value is None else f'{value:.1f}'


def own_result(model, dataset):
    """What a run of this repository gave, with its weights."""
    for result in model.get('Results', ()):
        if result['Dataset'] == dataset:
            text = number(result['Metrics'], 'AP')
            spread = result['Metrics'].get('AP spread')
            text += '' if spread is None else f' ± {spread:.1f}'
            weights = model.get('Weights')
            return text if weights is None else f'[{text}]({weights})'
    return ''


def experiments(models):
    """The text of docs/experiments.md."""
    parts = [INTRO]
    datasets = dict.fromkeys(model['Test Data'] for model in models)
    for dataset in datasets:
        columns = CROWDPOSE if 'CrowdPose' in dataset else COCO
        titles = ['config', 'difference', *columns, 'published in', 'here: AP']
        lines = [f'\n## {dataset}\n', row(titles), row(['---'] * len(titles))]
        notes = []
        for model in models:
            if model['Test Data'] != dataset:
                continue
            published = model.get('Published', dict(Metrics={}, Source=''))
            source = published['Source']
            if 'Note' in model:
                notes.append(model['Note'])
                source = f'{source} ({len(notes)})'.strip()
            name = osp.splitext(osp.basename(model['Config']))[0]
            lines.append(
                row(
                    [
                        f'[{name}](../{model["Config"]})',
                        model['Difference'],
                        *(number(published['Metrics'], c) for c in columns),
                        source,
                        own_result(model, dataset),
                    ]
                )
            )
        parts.append('\n'.join(lines) + '\n')
        parts += [f'\n({n}) {text}\n' for n, text in enumerate(notes, 1)]
    return ''.join(parts)


def row(cells):
    """A line of a Markdown table."""
    return '| ' + ' | '.join(cells) + ' |'


def summary(models):
    """The README's table: the models whose cost is stated."""
    titles = [
        'config (`configs/`)',
        'method',
        'parameters, multiply-adds',
        'tested on',
        'published AP',
        'here',
    ]
    lines = [row(titles), row(['---'] * len(titles))]
    for model in models:
        metadata = model['Metadata']
        if 'Parameters' not in metadata:
            continue
        cost = (
            f'{metadata["Parameters"] / 1e6:.2f} M, '
            f'{metadata["FLOPs"] / 1e9:.1f} G'
        )
        metrics = model.get('Published', {}).get('Metrics', {})
        lines.append(
            row(
                [
                    f'`{model["Config"][len("configs/") :]}`',
                    metadata['Architecture'],
                    cost,
                    model['Test Data'],
                    number(metrics, 'AP'),
                    own_result(model, model['Test Data']),
                ]
            )
        )
    return '\n'.join(lines)


def main():
    """Write, or compare."""
    args = parse_args()
    models = read_models()
    readme = ROOT / 'README.md'
    text = readme.read_text(encoding='utf-8')
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    texts = {
        ROOT / 'docs/experiments.md': experiments(models),
        readme: f'{before}{BEGIN}\n{summary(models)}\n{END}{after}',
    }
    stale = [
        path
        for path, content in texts.items()
        if not path.exists() or path.read_text(encoding='utf-8') != content
    ]
    if args.check:
        if stale:
            names = ', '.join(str(p.relative_to(ROOT)) for p in stale)
            sys.exit(f'{names}: not up to date; run tools/dev/make_tables.py')
        return
    for path in stale:
        path.write_text(texts[path], encoding='utf-8')
        print(f'wrote {path.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
