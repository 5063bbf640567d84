# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Parser of the commands: help and errors without torch and MMPose."""

from __future__ import annotations

import argparse
import os.path as osp
import sys
from contextlib import contextmanager
from difflib import get_close_matches
from typing import (
    Any,
    Callable,
    Iterator,
    List,
    NoReturn,
    Optional,
    Sequence,
    Type,
)

import swahr_mmpose
from swahr_mmpose.utils.argument_checks import (
    require_checkpoint,
    require_model,
    require_onnx,
)
from swahr_mmpose.utils.config import require_config
from swahr_mmpose.utils.quiet import ignore_warnings_of_others

__all__ = [
    'Argv',
    'CommandParser',
    'HelpFormatter',
    'make_parser',
    'user_errors',
]

# Command-line arguments; ``None``: ``sys.argv[1:]``.
Argv = Optional[Sequence[str]]


class HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter,
    argparse.RawDescriptionHelpFormatter,
):
    """Help formatter that prints defaults and keeps examples unwrapped.

    Defaults that say nothing (None, False, empty) are left out.
    """

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        """Append the default to the help text of an option."""
        if not action.default and action.default != 0:
            return action.help
        if action.default is False:
            return action.help
        return super()._get_help_string(action)


class CommandParser(argparse.ArgumentParser):
    """Parser of a command, which imports torch and MMPose when it is done.

    Help, usage errors and missing files are printed without them.

    Attributes:
        expected (str): Sentence in place of argparse's list of the arguments
            that are missing.
        check (Callable): Function that raises for options that are not valid,
            before torch is imported. Defaults to a check that positional
            arguments ``config``, ``checkpoint``, ``source`` and ``model``
            exist.
        needs_torch (Callable): Function that returns whether a command line
            needs torch and MMPose.
    """

    expected = ''
    check: Optional[Callable[[argparse.Namespace], None]] = None
    needs_torch: Optional[Callable[[argparse.Namespace], bool]] = None

    def parse_args(  # type: ignore[override]
        self, args: Argv = None, namespace: Any = None
    ) -> argparse.Namespace:
        """Parse the command line, then register everything.

        Args:
            args (Sequence[str], optional): Arguments. Defaults to None,
                ``sys.argv[1:]``.
            namespace (argparse.Namespace, optional): Object to fill.

        Returns:
            argparse.Namespace: Options.
        """
        result, rest = self.parse_known_args(args, namespace)
        self._assign_checkpoint(result, rest)
        if rest:
            self.error(f'unrecognized arguments: {" ".join(rest)}')
        with user_errors():
            (self.check or self._check_positionals)(result)
        if swahr_mmpose.IS_COMMAND and not getattr(result, 'verbose', False):
            ignore_warnings_of_others()
        if self.needs_torch is None or self.needs_torch(result):
            swahr_mmpose.register_all()
        return result

    def _assign_checkpoint(
        self, args: argparse.Namespace, rest: List[str]
    ) -> None:
        """Take an optional checkpoint that follows options.

        argparse leaves it over.
        """
        optional = any(
            a.dest == 'checkpoint' and a.nargs == '?' for a in self._actions
        )
        if optional and args.checkpoint is None and len(rest) == 1:
            if not rest[0].startswith('-'):
                args.checkpoint = rest.pop()

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with 2.

        Args:
            message (str): Message of argparse.
        """
        if self.expected and 'arguments are required' in message:
            message = self.expected
        super().error(message + self._suggest_options(message))

    def _suggest_options(self, message: str) -> str:
        """Format the options nearest to those that are not recognized."""
        _, _, unknown = message.partition('unrecognized arguments: ')
        known = [o for a in self._actions for o in a.option_strings]
        close = [
            option
            for word in unknown.split()
            if word.startswith('--')
            for option in get_close_matches(
                word.split('=')[0].replace('_', '-'), known, 1, 0.75
            )
        ]
        return f'; did you mean {", ".join(close)}?' if close else ''

    def _check_positionals(self, args: argparse.Namespace) -> None:
        """Raise for a config or checkpoint that does not exist."""
        names = {
            a.dest: a.nargs for a in self._actions if not a.option_strings
        }
        if 'config' in names and names.get('checkpoint') == '?':
            require_model(args.config, args.checkpoint)  # or a short name
        elif 'config' in names:
            require_config(args.config)
            if 'checkpoint' in names:
                require_checkpoint(args.checkpoint)
        if 'source' in names:
            require_checkpoint(args.source)
        if 'model' in names:
            require_onnx(args.model)


def make_parser(description: Optional[str]) -> CommandParser:
    """Make the argument parser of a command.

    Args:
        description (str, optional): Help text, the module docstring of the
            command.

    Returns:
        CommandParser: Parser without options. From then on Ctrl-C
        is reported in one line.
    """
    sys.excepthook = _report_exception
    return CommandParser(
        prog=_get_program_name(),
        description=description,
        formatter_class=HelpFormatter,
    )


def _report_exception(kind: Any, error: Any, traceback: Any) -> None:
    """Print one line for Ctrl-C, and the traceback of other exceptions."""
    if issubclass(kind, KeyboardInterrupt):
        print(
            '; '.join(['interrupted', *map(str, error.args)]), file=sys.stderr
        )
    else:
        sys.__excepthook__(kind, error, traceback)


def _get_program_name() -> str:
    """Get the command as typed, for ``%(prog)s`` in examples."""
    path = sys.argv[0]
    return f'python {osp.relpath(path)}' if path.endswith('.py') else path


@contextmanager
def user_errors(*types: Type[Exception]) -> Iterator[None]:
    """Exit with a one-line message on OSError and ValueError.

    Use it for steps that read files and settings of the user; elsewhere
    errors keep their traceback.

    Args:
        *types (type): Exceptions to report, if not these two.

    Raises:
        SystemExit: If such an exception is raised in the context.
    """
    expected = types or (OSError, ValueError)
    try:
        yield
    except expected as error:
        raise SystemExit(f'error: {error}') from error
