"""A bar on a terminal, a few lines elsewhere."""

import io
import sys

import pytest

from swahr_mmpose.utils.progress import Progress, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize('total', [2, 3, 10, 11, 25, 512, 2000])
def test_a_log_file_gets_few_lines_from_zero_to_the_total(capsys, total):
    assert list(track(range(total))) == list(range(total))
    out, err = capsys.readouterr()
    assert out == ''
    assert '\r' not in err
    lines = err.splitlines()
    counts = [int(line.partition('/')[0]) for line in lines]
    assert counts[0] == 0
    assert counts[-1] == total
    assert counts == sorted(set(counts))
    assert 2 <= len(lines) <= 11
    assert all(f'/{total} images' in line for line in lines)


def test_lines_come_after_every_tenth(capsys):
    for _ in track(range(40), 'calibration', 'steps'):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == 'calibration: 0/40 steps'
    assert [line.split(',')[0] for line in lines[1:]] == [
        f'calibration: {n}/40 steps' for n in range(4, 41, 4)
    ]


def test_a_single_item_needs_no_line(capsys):
    assert list(track(['image'])) == ['image']
    assert capsys.readouterr().err == ''


def test_without_a_total_lines_are_rare(capsys):
    list(track(iter(range(1234))))
    lines = capsys.readouterr().err.splitlines()
    counts = [int(line.split()[0]) for line in lines]
    assert counts == [10, 100, 1000, 1234]


def stop_after(count):
    with Progress(100) as progress:
        for _ in range(count):
            progress.update('3 people')
        raise KeyboardInterrupt


def test_an_interrupted_loop_reports_how_far_it_came(capsys):
    with pytest.raises(KeyboardInterrupt):
        stop_after(57)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith('57/100 images, 3 people, ')


def test_messages_are_lines_of_their_own(capsys):
    with Progress(2) as progress:
        progress.write('skipped: a.jpg')
    assert 'skipped: a.jpg\n' in capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    with Progress(3, 'calibration') as progress:
        progress.write('skipped: a.jpg')
        for _ in range(3):
            progress.update('3 people')
    text = terminal.getvalue()
    assert '\r' in text
    assert 'calibration: 100%' in text
    assert '3/3' in text
    assert 'skipped: a.jpg\n' in text


@pytest.mark.parametrize(
    ('number', 'text'), [(1, '1 image,'), (2, '2 images')]
)
def test_the_unit_agrees_with_the_number(capsys, number, text):
    list(track(iter(range(number))))
    assert capsys.readouterr().err.startswith(text)
