"""Text of files is printed without effect on a terminal."""

import pytest

from swahr_mmpose.utils.text import escape


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('left_eye 3.jpg', 'left_eye 3.jpg'),
        ('größe', 'größe'),
        ('a\x1b[2J', 'a\\x1b[2J'),
        ('\u202eabc', '\\u202eabc'),
        ('a\nb', 'a\\nb'),
        ('\ud800', '\\ud800'),
    ],
)
def test_control_characters_are_escaped(text, expected):
    assert escape(text) == expected
    assert escape(text).isprintable()


def test_long_text_is_shortened_in_its_middle():
    text = escape('a' * 500 + 'b' * 500)
    assert len(text) < 201
    assert text.startswith('aaa')
    assert text.endswith('bbb')
    assert len(escape('a' * 500, 50)) < 51
