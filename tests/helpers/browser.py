"""A headless Chromium, driven over its debugging pipe."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
_FLAGS = (
    '--headless=new --no-sandbox --disable-gpu --no-first-run '
    '--disable-dev-shm-usage --remote-debugging-pipe '
    '--use-fake-device-for-media-stream --use-fake-ui-for-media-stream '
    '--hide-scrollbars'
).split()


class Page:
    """A page of the browser; commands are those of the DevTools protocol."""

    def __init__(self, to_browser, from_browser):
        self.to_browser, self.from_browser = to_browser, from_browser
        self.number, self.buffer, self.session = 0, b'', None
        self.events = []
        target = self.call('Target.createTarget', url='about:blank')
        self.session = self.call(
            'Target.attachToTarget', flatten=True, **target
        )['sessionId']
        for domain in ('Page', 'Runtime', 'DOM', 'Log'):
            self.call(f'{domain}.enable')

    def call(self, method, **params):
        """Send a command; return its result."""
        self.number += 1
        message = dict(id=self.number, method=method, params=params)
        if self.session:
            message['sessionId'] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._read()
            if answer.get('id') == self.number:
                assert 'error' not in answer, answer['error']
                return answer['result']
            self.events.append(answer)

    def _read(self, seconds=60):
        """Read a message."""
        while b'\0' not in self.buffer:
            ready = select.select([self.from_browser], [], [], seconds)[0]
            assert ready, 'the browser does not answer'
            part = os.read(self.from_browser, 1 << 16)
            assert part, 'the browser has ended'
            self.buffer += part
        message, self.buffer = self.buffer.split(b'\0', 1)
        return json.loads(message)

    def evaluate(self, expression):
        """Evaluate an expression; promises are awaited."""
        result = self.call(
            'Runtime.evaluate',
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert 'exceptionDetails' not in result, result['exceptionDetails']
        return result['result'].get('value')

    def wait_for(self, expression, seconds=30):
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            text = self.evaluate('document.body.innerText')
            assert time.monotonic() < end, f'{expression}: {text}'
            time.sleep(0.05)

    def open(self, url):
        """Open a page and wait until it is loaded."""
        self.call('Page.navigate', url=url)
        self.wait_for(
            f'document.readyState === "complete" && '
            f'location.href.startsWith({json.dumps(url)})'
        )

    def choose_files(self, selector, *files):
        """Choose files in an input element."""
        root = self.call('DOM.getDocument')['root']['nodeId']
        node = self.call('DOM.querySelector', nodeId=root, selector=selector)
        self.call('DOM.setFileInputFiles', files=[*map(str, files)], **node)

    def resize(self, width, height):
        """Set the size of the window in pixels."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def screenshot(self, path):
        """Write a PNG of the page."""
        data = self.call('Page.captureScreenshot', captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(data['data']))

    def errors(self):
        """List the errors of scripts and of the content policy.

        Answers of an error status are left out: a page may provoke them.
        """
        self.evaluate('1')
        return [
            event['params']
            for event in self.events
            if event.get('method') == 'Runtime.exceptionThrown'
            or event.get('method') == 'Log.entryAdded'
            and event['params']['entry']['level'] == 'error'
            and event['params']['entry']['source'] != 'network'
        ]


@contextmanager
def open_browser(folder):
    """Start Chromium, or skip the test where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f'none of {_NAMES} is installed')
    to_browser, from_browser = os.pipe(), os.pipe()

    def place_pipes():
        os.dup2(to_browser[0], 3)
        os.dup2(from_browser[1], 4)

    # Above 4, so that dup2 does not close one of them.
    ends = to_browser[0], from_browser[1]
    process = subprocess.Popen(
        [program, *_FLAGS, f'--user-data-dir={folder}'],
        preexec_fn=place_pipes,
        pass_fds=(3, 4, *ends),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, HOME=str(folder)),
    )
    for end in ends:
        os.close(end)
    try:
        yield Page(to_browser[1], from_browser[0])
    finally:
        process.kill()
        process.wait()
        os.close(to_browser[1])
        os.close(from_browser[0])
