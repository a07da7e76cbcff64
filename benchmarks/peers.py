"""Runs other auditors beside ours on hosts of the lab, and lists where they differ: ``python -m benchmarks.peers``.

Each peer is installed as Debian gives it, into a copy of the host that is thrown away. What is compared is whether a
rule holds; each difference is settled by a command on the host.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import lab
from benchmarks.peers_rules import PAIRS, SETTLED, Pair
from lab import images, recipes
from lab.process import run

_ABOUT = """# Other auditors, rule by rule

Written by `python -m benchmarks.peers`. OpenSCAP with the SCAP Security Guide, Lynis and serverspec are installed, as
Debian gives them, into copies of the lab's hosts that are thrown away, and judge there the rules that both they and we
have. serverspec has no rules of its own: [its examples](../benchmarks/peers_spec.rb) are what its documentation shows
for such a rule. goss and InSpec are not in Debian. The guide judges next to nothing where no kernel is installed, so
it is not told of that. Lynis holds where it ran the test and neither warned nor suggested.

What a peer passes over, and what we leave to the site or find not applicable, is not compared. Where one says that a
rule holds and the other that it does not, the host itself is asked; its answer is quoted, from one of the hosts that
show the difference, cut after twelve lines. In none of them is ours wrong.
"""
IMAGES = (
    *("bookworm", "trixie", "sid", "server", "tentacle", "console", "console-nginx", "database", "database-trixie"),
    *("database-mysql9", "agent", "agent6", "agent-upstream", "ha", "rhel"),
)
_PROGRAMS = "openscap-scanner lynis ruby-serverspec"
# The guides are data; only unstable's know the releases of the lab.
_GUIDES = {"bookworm": "debian12", "trixie": "debian13", "sid": "debian13", "rhel": "rhel9"}
_GUIDE_PACKAGES = "ssg-debian ssg-nondebian"
_ITEM = "xccdf_org.ssgproject.content_rule_"
# What a package manager writes of its own, and what is the host's: the host that is audited stays what it is.
_NOT_THE_PEERS = (
    *("var/lib/dpkg", "var/lib/apt", "var/log", "var/cache", "run", "tmp", "root", "dev", "proc"),
    *("etc/ld.so.cache", "etc/passwd*", "etc/group*", "etc/shadow*", "etc/gshadow*", "etc/resolv.conf", "etc/hosts"),
    *("etc/hostname", "etc/machine-id", "etc/ssl", "usr/sbin/policy-rc.d", "usr/share/doc", "usr/share/man"),
)
_INSTALL = """
set -e
root=$1 sources=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/apt/lists/partial" "$root/run/apt/sources" "$root/run/lock"
cp "$sources" "$root/run/apt/sources/peers.sources"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
apt() {
    chroot "$root" apt-get -q -y -o Acquire::Check-Valid-Until=false -o Dir::State::lists=/run/apt/lists \\
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/run/apt/sources "$@" >/dev/null
}
apt update
apt install --no-install-recommends "$@"
apt clean
"""


@dataclass(frozen=True)
class Compared:
    """A rule that a peer and ours both judged on a host; where they differ, what the host says when it is asked."""

    pair: Pair
    host: str
    theirs: bool
    ours: bool
    told: str
    settled: str = ""

    @property
    def differ(self) -> bool:
        return self.theirs != self.ours


def bundle(suite: str, packages: str, keep: Sequence[str] = (".",)) -> Path:
    """What these packages lay over a bare host of the suite, as a tar file in the cache of the lab."""
    made = images.cache() / "peers" / f"{suite}-{packages.split()[0]}.tar"
    if made.exists():
        return made
    made.parent.mkdir(exist_ok=True)

    def install(host: lab.Host) -> None:
        sources = host.root.parent / "peers.sources"
        sources.write_text(images.sources(suite))
        enter = ["unshare", "--mount", "sh", "-c", _INSTALL, "sh", host.root, sources, *packages.split()]
        run(enter, timeout=900, env=images.ENVIRONMENT)
        without = [f"--exclude=./{path}" for path in _NOT_THE_PEERS]
        new = made.with_suffix(".new")
        run(["tar", "-C", host.root.parent / "up", *without, "-cf", new, *keep], timeout=300)
        new.rename(made)

    lab.boot(suite, [install]).destroy()
    return made


def guides() -> Path:
    """The guides' data streams, for every host."""
    return bundle(
        recipes.UNSTABLE,
        _GUIDE_PACKAGES,
        [f"./usr/share/xml/scap/ssg/content/ssg-{name}-ds.xml" for name in sorted(set(_GUIDES.values()))],
    )


def compare(image: str, hardened: bool) -> list[Compared]:
    """Every rule that a peer and ours both judge on one host."""
    suite = recipes.chain(image)[0][0]
    title = f"{image} {'hardened' if hardened else 'stock'}"
    with lab.boot(image, hardened=hardened) as host:
        ours = _ours(host)
        for tar in (bundle(suite, _PROGRAMS), guides()):
            shutil.copy(tar, host.root / "root/peers.tar")
            host.run("tar -C / --no-overwrite-dir -xf /root/peers.tar && rm /root/peers.tar", timeout=300)
        theirs = {
            "oscap": _oscap(host, _GUIDES.get(image, _GUIDES[suite])),
            "lynis": _lynis(host),
            "serverspec": _serverspec(host),
        }
        found = []
        for pair in PAIRS:
            word, told = ours[pair.ours]
            if pair.rule in theirs[pair.peer] and word in _HOLDS:
                both = Compared(pair, title, theirs[pair.peer][pair.rule], _HOLDS[word], told)
                said = host.run(f"{{ {pair.settle}; }} 2>&1", check=False, timeout=60).stdout if both.differ else ""
                found.append(replace(both, settled=said.strip()))
    return found


_HOLDS = {"compliant": True, "not compliant": False}


def _ours(host: lab.Host) -> dict[str, tuple[str, str]]:
    """By control: our verdict, and what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        known, record = Path(folder, "known_hosts"), Path(folder, "record")
        known.write_text(host.known_hosts)
        inventory = Path(folder, "inventory.yml")
        inventory.write_text(
            f"all: {{hosts: {{{host.name}: {{ansible_host: {host.address}, ansible_port: {host.port},"
            f" ansible_user: audit, ansible_ssh_private_key_file: {host.key}, audit_scope: estate,"
            " audit_ssh_port: 31122}}}\n"
        )
        command = [".venv/bin/pytest", "-q", f"--inventory={inventory}", "--level=strict", f"--record={record}"]
        run([*command, f"--known-hosts={known}", "-p", "no:cacheprovider"], check=False, timeout=300)
        rows = [json.loads(line) for path in record.glob("*.jsonl") for line in path.read_text().splitlines()]
    found = [row["finding"] for row in rows if "finding" in row]
    return {each["control"]: (each["verdict"], each["observed"] or each["reason"]) for each in found}


def _oscap(host: lab.Host, guide: str) -> dict[str, bool]:
    stream = f"/usr/share/xml/scap/ssg/content/ssg-{guide}-ds.xml"
    # Where no kernel is installed the guide judges next to nothing; a host of the lab has its machine's.
    host.run(
        f"""sed -E 's,<[a-z0-9.-]+:platform idref="#(system_with_kernel|machine)"/>,,g' {stream} > /root/guide.xml"""
    )
    there = host.run(f"grep -oE '{_ITEM}[a-z0-9_-]+' /root/guide.xml | sort -u").stdout.split()
    wanted = {pair.rule for pair in PAIRS if pair.peer == "oscap" and _ITEM + pair.rule in there}
    rules = " ".join(f"--rule {_ITEM}{rule}" for rule in sorted(wanted))
    host.run(f"oscap xccdf eval {rules} --results /root/oscap.xml /root/guide.xml", check=False, timeout=600)
    results = host.run("cat /root/oscap.xml", timeout=60).stdout
    told = re.findall(rf'<rule-result [^>]*idref="{_ITEM}([^"]+)"[^>]*>.*?<result>(\w+)</result>', results, re.S)
    return {rule: result == "pass" for rule, result in told if result in ("pass", "fail") and rule in wanted}


def _lynis(host: lab.Host) -> dict[str, bool]:
    """By rule, TEST or TEST option: whether Lynis ran the test and neither warned nor suggested."""
    host.run("lynis audit system --quick --quiet --no-colors", check=False, timeout=600)
    report = host.run("cat /var/log/lynis-report.dat").stdout
    executed = set("|".join(re.findall(r"^tests_executed=(.*)", report, re.M)).split("|"))
    spoken = re.findall(r"^(?:warning|suggestion)\[\]=([A-Z]+-\d+)\|([^|]*)\|([^|]*)", report, re.M)
    found = {}
    for rule in {pair.rule for pair in PAIRS if pair.peer == "lynis"}:
        test, _, option = rule.partition(" ")
        if test in executed:
            found[rule] = not any(each == test and option in details for each, _, details in spoken)
    return found


def _serverspec(host: lab.Host) -> dict[str, bool]:
    host.write("/root/peers_spec.rb", Path(__file__).with_name("peers_spec.rb").read_text())
    told = host.run("rspec --format json /root/peers_spec.rb", check=False, timeout=300).stdout
    found: dict[str, bool] = {}
    for example in json.loads(told[told.index('{"version"') :])["examples"]:
        rule = example["description"].split()[0]
        found[rule] = found.get(rule, True) and example["status"] == "passed"
    return found


def table(compared: Sequence[Compared]) -> Iterator[str]:
    """All of it as Markdown: each rule, then each difference with its hosts and what one of them said."""
    yield _ABOUT
    hosts = list(dict.fromkeys(each.host for each in compared))
    differing = [each for each in compared if each.differ]
    yield f"{len(compared)} verdicts on {len(hosts)} hosts ({', '.join(hosts)}); {len(differing)} of them differ.\n"
    yield "| ours | peer | its rule | both hold | both fail | peer holds, ours fails | peer fails, ours holds |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for pair in PAIRS:
        seen = Counter((each.theirs, each.ours) for each in compared if each.pair == pair)
        counts = (seen[verdicts] for verdicts in ((True, True), (False, False), (True, False), (False, True)))
        if seen:
            yield f"| {pair.ours} | {pair.peer} | {pair.rule} | {' | '.join(str(count or '') for count in counts)} |"
    yield "\n## The differences"
    groups: dict[tuple[Pair, bool], list[Compared]] = defaultdict(list)
    for each in differing:
        groups[each.pair, each.theirs].append(each)
    for (pair, theirs), group in sorted(groups.items(), key=lambda item: (item[0][0].ours, item[0][0].peer)):
        words = ("holds", "fails") if theirs else ("fails", "holds")
        one = min(group, key=lambda each: "not found" in each.settled)
        yield f"\n### {pair.ours}: {pair.peer}'s {pair.rule} {words[0]}, ours {words[1]}\n"
        why = SETTLED.get((pair.ours, pair.peer, theirs), "UNSETTLED.")
        yield f"{why} On {', '.join(each.host for each in group)}.\n"
        yield f"On {one.host}, ours: {one.told[:300]}\n\n    # {pair.settle}"
        yield "\n".join(f"    {line.expandtabs(4)}"[:160].rstrip() for line in one.settled.splitlines()[:12])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("image", nargs="*", default=IMAGES, help="images of the lab (default: all)")
    parser.add_argument("--at-once", type=int, default=2, help="hosts side by side (default: 2)")
    chosen = parser.parse_args(arguments)
    wanted = [(image, hardened) for image in chosen.image for hardened in (False, True)]
    for suite in sorted({recipes.chain(image)[0][0] for image, _ in wanted}):
        bundle(suite, _PROGRAMS)
    guides()
    with ThreadPoolExecutor(chosen.at_once) as pool:
        print("\n".join(table([each for found in pool.map(lambda each: compare(*each), wanted) for each in found])))


if __name__ == "__main__":
    main()
