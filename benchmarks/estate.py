"""``python -m benchmarks.estate [--agents 400]``: what a report of many EndPoints beside few hosts costs.

The demonstration's recording is multiplied: three hosts of its infrastructure, and one EndPoint as often as wanted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
INFRASTRUCTURE = ("pandora01", "console01", "db01")
ENDPOINT = "web01"


def records(folder: Path, agents: int) -> list[str]:
    """Write the records of the infrastructure and of so many EndPoints; the names of the EndPoints."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in INFRASTRUCTURE:
        (folder / f"{name}.jsonl").write_text(_answers(name, name))
    names = [f"ep{number:04}" for number in range(agents)]
    for name in names:
        (folder / f"{name}.jsonl").write_text(_answers(ENDPOINT, name))
    return names


def _answers(recorded: str, name: str) -> str:
    """A record of the demonstration under another name, without what was concluded then."""
    head, *rows = (ROOT / "demo" / f"{recorded}.jsonl").read_text("utf-8").splitlines(keepends=True)
    told = json.loads(head)
    # The demonstration holds EndPoints to all of the guide; a site of hundreds does not.
    told["promises"].pop("scope")
    return json.dumps({**told, "host": name}) + "\n" + "".join(row for row in rows if row.startswith('{"answer"'))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estate", description=__doc__)
    parser.add_argument("--agents", type=int, default=400, help="EndPoints beside the three hosts (default: 400)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records(folder / "records", chosen.agents)
        page, xml = folder / "report.html", folder / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        command += [f"--hosts=replay://{folder / 'records'}", f"--html={page}", "--self-contained-html"]
        began = time.monotonic()
        done = subprocess.run([*command, f"--junit-xml={xml}"], cwd=ROOT, capture_output=True, text=True, check=False)
        took, cpu = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in (1, 11):
            raise RuntimeError(done.stdout[-3000:] + done.stderr)
        print(done.stdout.splitlines()[-1])
        size = page.stat().st_size / 2**20
        print(
            f"P9 {chosen.agents} EndPoints beside {len(INFRASTRUCTURE)} hosts: {took:.1f} s, "
            f"CPU {cpu.ru_utime + cpu.ru_stime:.1f} s, {cpu.ru_maxrss / 2**10:.0f} MiB, report of {size:.1f} MiB"
        )


if __name__ == "__main__":
    main()
