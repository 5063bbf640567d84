# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A line per epoch, a table per evaluation, and progress on a terminal."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

__all__ = ['ConsoleHook', 'format_duration', 'format_metrics', 'sum_losses']

# Iterations per line of a training without epochs and without validation.
_INTERVAL = 500
# Seconds between two drawings of the progress bar.
_REFRESH = 0.2


def format_duration(seconds: float) -> str:
    """Format a duration as hours, minutes and seconds.

    Args:
        seconds (float): Duration.

    Returns:
        str: ``'0:09'``, ``'1:02:03'`` or ``'2 d 1:02:03'``.
    """
    total = max(int(round(seconds)), 0)
    days, rest = divmod(total, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    text = f'{minutes}:{rest:02}'
    if hours or days:
        text = f'{hours}:{minutes:02}:{rest:02}'
    return f'{days} d {text}' if days else text


def sum_losses(losses: Mapping[str, float]) -> Dict[str, float]:
    """Sum the losses of the heatmap levels under a short name.

    Args:
        losses (Mapping[str, float]): Losses by name, such as ``'loss'``,
            ``'loss_kpt.0'`` and ``'loss_kpt.1'``.

    Returns:
        dict[str, float]: Losses such as ``'loss'`` and ``'kpt'``.
    """
    sums: Dict[str, float] = {}
    for name, value in losses.items():
        stem, _, level = name.rpartition('.')
        short = stem if level.isdigit() else name
        if short.startswith('loss_'):
            short = short[len('loss_') :]
        sums[short] = sums.get(short, 0.0) + value
    return sums


def format_metrics(metrics: Mapping[str, Any]) -> List[str]:
    """Format the metrics of an evaluation as a table.

    Args:
        metrics (Mapping[str, Any]): Values by name; COCOeval marks undefined
            ones with -1. What is before the last ``/`` of a name is the row.

    Returns:
        list[str]: Lines: names, then a row of values per prefix.
    """
    rows: Dict[str, Dict[str, str]] = {}
    for name, value in metrics.items():
        prefix, _, short = name.rpartition('/')
        rows.setdefault(prefix, {})[short] = _format_value(value)
    names = list(dict.fromkeys(n for row in rows.values() for n in row))
    table = [['', *names]]
    for prefix, row in rows.items():
        table.append([prefix, *(row.get(name, '') for name in names)])
    widths = [max(map(len, column)) for column in zip(*table)]
    return [
        '  '.join(
            [line[0].ljust(widths[0])]
            + [c.rjust(w) for c, w in zip(line[1:], widths[1:])]
        )
        for line in table
    ]


def _format_value(value: Any) -> str:
    """Format a metric; ``-`` for an undefined one."""
    if isinstance(value, (int, float)):
        return '-' if value == -1 else f'{value:.3f}'
    return str(value)


class _Output:
    """Lines on standard output, with a progress bar if it is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        console = Console(highlight=False)
        self.console = None
        if console.is_terminal and not console.is_dumb_terminal:
            self.console = console
        self.progress: Any = None
        self.task: Any = None
        self.drawn = 0.0

    def print_line(self, line: str) -> None:
        """Print a line above the progress bar."""
        if self.console is None:
            print(line, flush=True)
        else:
            self.console.print(line, markup=False, soft_wrap=True)

    def start(self, title: str, total: Optional[int]) -> None:
        """Show a progress bar."""
        self.stop()
        if self.console is None:
            return
        from rich import progress

        self.progress = progress.Progress(
            progress.TextColumn('{task.description}'),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn('{task.fields[note]}'),
            progress.TextColumn('left'),
            progress.TimeRemainingColumn(),
            console=self.console,
            transient=True,
            auto_refresh=False,  # no thread while data workers are forked
        )
        self.task = self.progress.add_task(title, total=total, note='')
        self.progress.start()

    def advance(self, note: str = '') -> None:
        """Advance the progress bar by an iteration."""
        if self.progress is not None:
            self.progress.update(self.task, advance=1, note=note)
            now = time.perf_counter()
            if now - self.drawn > _REFRESH:
                self.drawn = now
                self.progress.refresh()

    def stop(self) -> None:
        """Remove the progress bar."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


class ConsoleHook(Hook):
    """Print a line per epoch and a table per evaluation.

    A training without epochs prints a line before each validation. Only the
    first process prints. MMEngine's ``LoggerHook`` is not affected.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._output: Optional[_Output] = None
        self._started = self._line_started = time.perf_counter()
        self._count = 0

    def before_run(self, runner: Any) -> None:
        """Find out whether to print, and whether there is a terminal."""
        self._started = time.perf_counter()
        if runner.rank == 0:
            self._output = _Output()

    def close(self) -> None:
        """Remove the progress bar, also after an error."""
        if self._output is not None:
            self._output.stop()

    def after_run(self, runner: Any) -> None:
        """Remove the progress bar."""
        self.close()

    def before_train_epoch(self, runner: Any) -> None:
        """Start the progress bar of an epoch, or of all iterations."""
        self._line_started, self._count = time.perf_counter(), 0
        self._start_training(runner)

    def _start_training(self, runner: Any) -> None:
        """Start the progress bar of the training."""
        if self._output is None:
            return
        if _has_epochs(runner):
            title = f'epoch {runner.epoch + 1}/{runner.max_epochs}'
            self._output.start(title, len(runner.train_dataloader))
        else:
            self._output.start('training', runner.max_iters - runner.iter)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Advance the bar; print a line at intervals if there are no epochs.

        Args:
            runner (Runner): Runner of the training.
            batch_idx (int): Not used.
            data_batch: Not used.
            outputs (dict, optional): Not used.
        """
        self._count += 1
        if self._output is None:
            return
        losses = _read_losses(runner, 1)
        self._output.advance(f'loss {losses.get("loss", 0):.4g}')
        if _has_epochs(runner):
            return
        step, last = runner.iter + 1, runner.max_iters
        if step == last or step % _get_interval(runner) == 0:
            self._print_losses(runner, _align('iter', step, last))

    def after_train_epoch(self, runner: Any) -> None:
        """Print the line of the epoch."""
        if self._output is not None and _has_epochs(runner):
            self._output.stop()
            epoch, last = runner.epoch + 1, runner.max_epochs
            self._print_losses(runner, _align('epoch', epoch, last))

    def _print_losses(self, runner: Any, start: str) -> None:
        """Print losses, learning rate and durations since the last line."""
        assert self._output is not None
        if self._count:
            now = time.perf_counter()
            losses = _read_losses(runner, self._count)
            parts = [f'{k} {v:<8.3g}' for k, v in sum_losses(losses).items()]
            parts += _format_rates(runner)
            parts.append(format_duration(now - self._line_started))
            eta = runner.message_hub.runtime_info.get('eta')
            if eta is not None:
                parts.append(f'left {format_duration(eta)}')
            self._output.print_line('  '.join([start, *parts]))
        self._line_started, self._count = time.perf_counter(), 0

    def before_val_epoch(self, runner: Any) -> None:
        """Start the progress bar of a validation."""
        self._start_evaluation('validation', runner.val_dataloader)

    def before_test_epoch(self, runner: Any) -> None:
        """Start the progress bar of a test."""
        self._started = time.perf_counter()
        self._start_evaluation('test', runner.test_dataloader)

    def _start_evaluation(self, title: str, loader: Any) -> None:
        """Start the progress bar of an evaluation."""
        if self._output is not None:
            self._output.start(title, len(loader))

    def after_val_iter(self, *args: Any, **kwargs: Any) -> None:
        """Advance the progress bar."""
        if self._output is not None:
            self._output.advance()

    def after_test_iter(self, *args: Any, **kwargs: Any) -> None:
        """Advance the progress bar."""
        if self._output is not None:
            self._output.advance()

    def after_val_epoch(
        self, runner: Any, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Print the metrics of a validation.

        Args:
            runner (Runner): Runner of the training.
            metrics (dict, optional): Values by name.
        """
        self._print_metrics(metrics)
        if not _has_epochs(runner):
            self._start_training(runner)

    def after_test_epoch(
        self, runner: Any, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Print the number of images, the duration and the metrics.

        Args:
            runner (Runner): Runner of the test.
            metrics (dict, optional): Values by name.
        """
        if self._output is not None:
            self._output.stop()
            count = len(runner.test_dataloader.dataset)
            seconds = time.perf_counter() - self._started
            self._output.print_line(
                f'tested {count} images in {format_duration(seconds)}'
            )
        self._print_metrics(metrics)

    def _print_metrics(self, metrics: Optional[Mapping[str, Any]]) -> None:
        """Print the table of an evaluation."""
        if self._output is None:
            return
        self._output.stop()
        for line in format_metrics(metrics) if metrics else ():
            self._output.print_line(line)


def _align(name: str, step: int, last: int) -> str:
    """Format the number of an epoch or iteration."""
    return f'{name} {step:>{len(str(last))}}/{last}'


def _has_epochs(runner: Any) -> bool:
    """Whether the runner trains by epoch."""
    return not isinstance(runner._train_loop, IterBasedTrainLoop)


def _get_interval(runner: Any) -> int:
    """Get the number of iterations per line of a training without epochs."""
    if runner.val_loop is None:
        return _INTERVAL
    return min(runner.train_loop.val_interval, _INTERVAL)


def _read_losses(runner: Any, count: int) -> Dict[str, float]:
    """Read the mean losses of the last iterations."""
    scalars = runner.message_hub.log_scalars
    names = [n for n in scalars if n.startswith('train/loss')]
    return {n[len('train/') :]: scalars[n].mean(count) for n in names}


def _format_rates(runner: Any) -> Sequence[str]:
    """Format the learning rates of the last iteration."""
    scalars = runner.message_hub.log_scalars
    names = [n for n in scalars if n == 'train/lr' or n.endswith('.lr')]
    return [f'{n[len("train/") :]} {scalars[n].current():.2e}' for n in names]
