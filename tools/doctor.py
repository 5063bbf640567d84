# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check whether SWAHR can train in this environment.

  %(prog)s
  %(prog)s --out-file report.json     # the same as JSON, for a bug report

Prints the installed packages, every conflict with the command that fixes it,
and a verdict. The exit status is 0 if SWAHR can train (warnings included) and
1 if it cannot. Each package is imported in its own process, so a broken one
does not stop the check. Requires nothing but Python.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import doctor_checks

try:
    from importlib import metadata
except ImportError:  # Python 3.7, reported as too old
    metadata = None

PROBE = """
import importlib, json, sys
sys.path = [p for p in sys.path if p]  # as for a script: not this folder
facts = dict(ok=True)
try:
    importlib.import_module(sys.argv[1])
    top = sys.modules[sys.argv[1].split('.')[0]]
    facts['version'] = str(getattr(top, '__version__', ''))
    exec(sys.argv[2])
except BaseException as error:
    facts = dict(ok=False, error='%s: %s' % (type(error).__name__, error))
print('\\ndoctor:' + json.dumps(facts))
"""
# Code that runs after the import; "top" is the package.
COUNT = 'c = top.cuda; n = c.device_count() if c.is_available() else 0\n'
MORE_PROBES = {
    'torch': COUNT + 'top.zeros(1).numpy()\n'
    'facts["cuda"] = top.version.cuda\n'
    'facts["gpus"] = [c.get_device_name(i) for i in range(n)]',
    'torch.cuda': COUNT
    + 'for i in range(n): top.ones(8, 8, device="cuda:%d" % i).exp().cpu()',
}


PACKAGES = doctor_checks.PACKAGES
MODULES = [*PACKAGES, 'torchvision.transforms', 'mmcv._ext', 'torch.cuda']
MODULES += ['swahr_mmpose']
OPTIONAL = ['torchvision', 'chumpy', 'swahr_mmpose']
# Versions that swahr_mmpose requires; see also read_bounds.
BOUNDS = {
    'mmengine': {'swahr_mmpose': ('0.10.0', '1.0.0')},
    'mmdet': {'swahr_mmpose': ('3.0.0', '3.6.0')},
    'mmpose': {'swahr_mmpose': ('1.3.0', '1.4.0')},
}


def program_name():
    """Name of the command as it was typed."""
    path = sys.argv[0]
    return f'python {os.path.relpath(path)}' if path.endswith('.py') else path


def parse_args():
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog=program_name(),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--out-file', metavar='FILE', help='file of the report (.json)'
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=180,
        help='time limit of one import in seconds (default: 180)',
    )
    return parser.parse_args()


def try_import(module, seconds):
    """Import a module in its own process; never raises.

    Returns:
        dict: ``ok``; if False, ``error``; else ``version`` and the facts of
        ``MORE_PROBES``.
    """
    try:
        done = subprocess.run(
            [sys.executable, '-c', PROBE, module, MORE_PROBES.get(module, '')],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env=dict(os.environ, PYTHONWARNINGS='ignore'),
        )
    except subprocess.TimeoutExpired:
        return dict(ok=False, error=f'no answer within {seconds:g} seconds')
    lines = done.stdout.decode(errors='replace').splitlines()
    answers = [line for line in lines if line.startswith('doctor:')]
    if answers:
        answer = json.loads(answers[-1][len('doctor:') :])
    else:
        said = done.stderr.decode(errors='replace').strip().splitlines()
        status = f'Python died with status {done.returncode}'
        answer = dict(ok=False, error=': '.join([status, *said[-1:]]))
    if not answer['ok']:
        answer['error'] = ' '.join(answer['error'].split())[:300]
    return answer


def installed_version(name):
    """Read the version of a distribution; None if not installed."""
    try:
        return metadata.version(name)
    except Exception:  # not installed, or its files are damaged
        return None


def read_bounds():
    """Read the version bounds that mmdet, mmpose and we require."""
    bounds = {name: dict(asked) for name, asked in BOUNDS.items()}
    for package in ('mmdet', 'mmpose'):
        try:
            text = Path(find_spec(package).origin).read_text()
        except Exception:  # not installed or damaged: reported elsewhere
            continue
        limits_of = dict(re.findall(r"(\w+_m..imum)_version = '(.+?)'", text))
        for name in ('mmcv', 'mmengine'):
            limits = [limits_of.get(f'{name}_{m}imum') for m in ('min', 'max')]
            if all(limits):
                bounds.setdefault(name, {})[package] = limits
    return bounds


def collect_facts(seconds):
    """Collect the facts for ``doctor_checks.diagnose``."""
    facts = dict(python=list(sys.version_info[:3]), versions={}, imports={})
    if facts['python'] < [3, 8]:
        return facts  # no required package supports it
    names = [name for p in PACKAGES.values() for name in p.names]
    if sys.stderr.isatty():
        print('importing the packages ...', file=sys.stderr)
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda m: try_import(m, seconds), MODULES)
        facts['imports'] = dict(zip(MODULES, answers))
    facts['versions'] = {n: installed_version(n) for n in names + OPTIONAL}
    facts['bounds'] = read_bounds()
    facts['nvidia_driver'] = shutil.which('nvidia-smi') is not None
    return facts


def list_packages(facts):
    """List installed packages as name and version."""
    rows = {'Python': '.'.join(map(str, facts['python']))}
    for module in PACKAGES if facts['imports'] else ():
        name, version = doctor_checks.version_of(facts, module)
        rows[name] = version
        if version and not facts['imports'][module]['ok']:
            rows[name] += ' (does not import)'
    for name, version in facts['versions'].items():
        if version or name in OPTIONAL:
            rows.setdefault(name, version)
    torch = facts['imports'].get('torch', {})
    rows['CUDA of torch'] = torch.get('cuda')
    rows['GPUs'] = ', '.join(torch.get('gpus') or [])
    return {name: version or '-' for name, version in rows.items()}


def complete_command(remedy):
    """Replace ``pip`` in a remedy by the pip of this interpreter."""
    pip = f'{shlex.quote(sys.executable)} -m pip '
    return re.sub(r'\bpip (?=install|uninstall)', lambda _: pip, remedy)


def make_report(facts):
    """Make the report: packages, findings and verdict."""
    found = doctor_checks.diagnose(facts)
    errors = sum(f.severity == 'error' for f in found)
    findings = [f._asdict() for f in found]
    for finding in findings:
        if finding['remedy']:
            finding['remedy'] = complete_command(finding['remedy'])
    verdict = 'SWAHR can train here.'
    if errors:
        verdict = (
            f'SWAHR cannot train here: {errors} error(s). Fix them from the '
            'top and run this again, or make a new environment (.venv) with '
            f'tested versions:\n    {doctor_checks.FRESH}'
        )
    return dict(
        installed=list_packages(facts),
        findings=findings,
        can_train=not errors,
        verdict=verdict,
    )


def print_report(report):
    """Print the report."""
    width = max(map(len, report['installed']))
    for name, version in report['installed'].items():
        print(f'{name:<{width}}  {version}')
    for finding in report['findings']:
        print(f'\n{finding["severity"]}: {finding["got"]}')
        if finding['remedy']:
            print(f'    expected: {finding["expected"]}')
            print(f'    remedy:   {finding["remedy"]}')
        else:
            print(f'    {finding["expected"]}')
    print(f'\n{report["verdict"]}')


def main():
    """Collect facts, diagnose, report."""
    args = parse_args()
    sys.stdout.reconfigure(errors='replace')  # errors quote anything
    report = make_report(collect_facts(args.timeout))
    print_report(report)
    if args.out_file:
        try:
            Path(args.out_file).write_text(json.dumps(report, indent=2) + '\n')
        except OSError as error:
            sys.exit(f'error: {error}; choose another file for --out-file')
    sys.exit(0 if report['can_train'] else 1)


if __name__ == '__main__':
    main()
