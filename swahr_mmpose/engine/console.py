# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Quiet console of a run: a line per epoch and a table per evaluation.

MMEngine's messages (config, environment, hooks, iterations) are in the log
file only. Warnings and errors, and messages of this package and of the user's
own code, are printed as well.
"""

from __future__ import annotations

import io
import logging
import re
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, Iterator, Type

from mmengine.logging import MMLogger
from mmengine.logging.logger import FilterDuplicateWarning
from mmengine.runner import Runner

from .hooks.console_hook import ConsoleHook

if TYPE_CHECKING:
    from mmengine.runner import Runner as _Base
else:
    _Base = object  # the class is added to that of any runner

__all__ = ['ConsoleFilter', 'make_quiet']

_OTHERS = ('mmcv', 'mmdet', 'mmengine', 'mmpose', 'torch', 'torchvision')
# Warnings of these packages that no user can act upon.
_NOISE = re.compile(
    r'deprecated|"HardDiskBackend"|prefix is not set in metric class'
    r'|has no metainfo|Failed to search registry|is not in the scope'
)
_FILE_ONLY = 'swahr_file_only'  # attribute of log records


class ConsoleFilter(logging.Filter):
    """Let pass what a user can act upon.

    That is errors, warnings, and all messages of code outside of MMEngine,
    MMPose, MMDetection, MMCV and torch.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to print a record.

        Args:
            record (logging.LogRecord): Message of the run's logger.

        Returns:
            bool: True to print it.
        """
        if getattr(record, _FILE_ONLY, False):
            return False
        if record.levelno >= logging.ERROR:
            return True
        if _find_package(_find_caller()) not in _OTHERS:
            return True
        is_noise = _NOISE.search(record.getMessage())
        return record.levelno >= logging.WARNING and not is_noise


def _find_package(module: str) -> str:
    """Find the package of a module."""
    return module.partition('.')[0]


def _find_caller() -> str:
    """Find the module that called the logger, or ``print_log``."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get('__name__', '')
        if name not in (__name__, 'mmengine.logging.logger', 'logging'):
            return name
        frame = frame.f_back
    return ''


class _LogStream(io.TextIOBase):
    """Stream in place of standard output, of which the log file gets lines.

    Args:
        logger (logging.Logger): Logger of the run.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.console = sys.stdout
        self.rest = ''

    def write(self, text: str) -> int:
        """Log complete lines."""
        *lines, self.rest = (self.rest + text).split('\n')
        for line in lines:
            if line.strip():
                self.logger.info(line, extra={_FILE_ONLY: True})
        return len(text)


class _Console:
    """Standard output, which a progress bar may have replaced."""

    def write(self, text: str) -> int:
        """Write text."""
        return self._find().write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._find().flush()

    def _find(self) -> Any:
        """Find the stream; messages do not take the way of prints."""
        stream: Any = sys.stdout
        while isinstance(stream, _LogStream):
            stream = stream.console
        return stream


class _Formatter(logging.Formatter):
    """The message, and its level unless that is INFO."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        text = super().format(record)
        if record.levelno == logging.INFO:
            return text
        return f'{record.levelname.lower()}: {text}'


def _quiet_handlers(logger: MMLogger) -> None:
    """Make the console handler of a logger print what a user needs."""
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(_Console())
            handler.setFormatter(_Formatter())
            handler.filters = [ConsoleFilter(), FilterDuplicateWarning()]


class _QuietRunner(_Base):
    """Methods of a quiet runner, before those of the runner's class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.console_hook = ConsoleHook()
        self.register_hook(self.console_hook)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, with a quiet console."""
        logger = super().build_logger(*args, **kwargs)
        _quiet_handlers(logger)
        return logger

    @contextmanager
    def _print_to_log(self) -> Iterator[None]:
        """Write what other packages print to the log file."""
        with redirect_stdout(_LogStream(self.logger)):
            yield

    def build_train_loop(self, loop: Any) -> Any:
        """Build the training loop and its dataset."""
        with self._print_to_log():
            return super().build_train_loop(loop)

    def build_val_loop(self, loop: Any) -> Any:
        """Build the validation loop and its dataset."""
        with self._print_to_log():
            return super().build_val_loop(loop)

    def build_test_loop(self, loop: Any) -> Any:
        """Build the test loop and its dataset."""
        with self._print_to_log():
            return super().build_test_loop(loop)

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint."""
        with self._print_to_log():
            return super().load_checkpoint(*args, **kwargs)

    def build_evaluator(self, evaluator: Any) -> Any:
        """Build an evaluator whose metrics print to the log file."""
        result = super().build_evaluator(evaluator)
        evaluate = result.evaluate

        def evaluate_quietly(*args: Any, **kwargs: Any) -> Any:
            with self._print_to_log():
                return evaluate(*args, **kwargs)

        result.evaluate = evaluate_quietly
        return result

    def train(self) -> Any:
        """Train; remove the progress bar at the end, also after an error."""
        try:
            return super().train()
        finally:
            self.console_hook.close()

    def test(self) -> Any:
        """Test; remove the progress bar at the end, also after an error."""
        try:
            return super().test()
        finally:
            self.console_hook.close()


def make_quiet(runner_class: Type[Runner]) -> Type[Runner]:
    """Make a runner class with a quiet console.

    Args:
        runner_class (type): ``Runner`` or a class that inherits it.

    Returns:
        type: Class of the same name with an additional :class:`ConsoleHook`.
    """
    return type(runner_class.__name__, (_QuietRunner, runner_class), {})
