# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Image and fields of a posted form (``multipart/form-data``)."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

__all__ = ['Form', 'is_form', 'read_form']

_MAX_PARTS = 20


class Form(NamedTuple):
    """Content of a form.

    Attributes:
        image (bytes): The file of the form.
        fields (dict[str, str]): Other fields by name.
    """

    image: bytes
    fields: Dict[str, str]


class _Part:
    """Part of a form while it is parsed."""

    def __init__(self) -> None:
        self.headers: Dict[bytes, bytes] = {}
        self.name = self.value = b''
        self.content = bytearray()

    def end_header(self) -> None:
        """Store a header whose name and value are complete."""
        self.headers[self.name.lower()] = self.value
        self.name = self.value = b''


class _Collector:
    """Callbacks of ``MultipartParser`` that collect the parts."""

    def __init__(self) -> None:
        self.parts: List[_Part] = []
        self.complete = False

    def callbacks(self) -> Any:
        """List the callbacks by the name of their event."""
        return dict(
            on_part_begin=self._begin,
            on_header_field=self._add_name,
            on_header_value=self._add_value,
            on_header_end=lambda: self.parts[-1].end_header(),
            on_part_data=self._add_content,
            on_end=self._end,
        )

    def _begin(self) -> None:
        if len(self.parts) >= _MAX_PARTS:
            raise ValueError(f'the form has more than {_MAX_PARTS} parts')
        self.parts.append(_Part())

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].value += data[start:end]

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += memoryview(data)[start:end]

    def _end(self) -> None:
        self.complete = True


def is_form(content_type: bytes) -> bool:
    """Whether a Content-Type is that of a form with files.

    Args:
        content_type (bytes): Value of the header.

    Returns:
        bool: True for ``multipart/form-data``.
    """
    return content_type.lower().lstrip().startswith(b'multipart/form-data')


def read_form(content_type: bytes, body: bytes) -> Form:
    """Read the file and the fields of a form.

    Args:
        content_type (bytes): Value of the header Content-Type.
        body (bytes): Body of the request.

    Returns:
        Form: The only file, or the part named ``image`` if there are several.

    Raises:
        ImportError: If python-multipart is not installed.
        ValueError: If the form is malformed or has no file.
    """
    parts = _parse(content_type, body)
    fields, image = {}, None
    for part in parts:
        name, filename = _read_disposition(part)
        if filename is None and name != 'image':
            fields[name] = part.content.decode('utf-8', 'replace')
        elif image is None or name == 'image':
            image = bytes(part.content)
    if image is None:
        raise ValueError(
            'the form has no file, expected one: curl -F image=@photo.jpg'
        )
    return Form(image, fields)


def _parse(content_type: bytes, body: bytes) -> List[_Part]:
    """Split a form into parts."""
    try:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import (
            MultipartParser,
            parse_options_header,
        )
    except ImportError as error:
        raise ImportError(
            'forms need python-multipart, which is not installed on the '
            'server; send the image as the body: curl --data-binary @photo.jpg'
        ) from error
    boundary = parse_options_header(content_type)[1].get(b'boundary')
    if not boundary:
        raise ValueError('the Content-Type of the form has no boundary')
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise ValueError(f'malformed form: {error}') from error
    if not collector.complete:
        raise ValueError('the form is incomplete: its last boundary is absent')
    return collector.parts


def _read_disposition(part: _Part) -> Tuple[str, Optional[bytes]]:
    """Read name and file name of a part; no file name for fields."""
    from python_multipart.multipart import parse_options_header

    header = part.headers.get(b'content-disposition', b'')
    options = parse_options_header(header)[1]
    name = options.get(b'name', b'').decode('utf-8', 'replace')
    return name, options.get(b'filename')
