"""Known advisories of the pinned requirements, as the package registry tells them (pip-audit).

    python requirements/audit.py requirements/dev.txt

Exit 1 for findings only. A registry that tells nothing (no network, a mirror without advisories) is said in so many
words: nobody may take silence for a clean bill.
"""

from __future__ import annotations

import json
import subprocess
import sys

#: Seconds for the whole look, and for one answer.
AUDIT_TIMEOUT = 90
ANSWER_WITHIN = 5


def main(requirements: str) -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", requirements, "--format", "json"]
    # Everything is pinned, so nothing has to be resolved or installed.
    command += ["--no-deps", "--disable-pip", "--vulnerability-service", "pypi", "--timeout", str(ANSWER_WITHIN)]
    command += ["--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_TIMEOUT, check=False)
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        return not_reached(f"pip-audit gave no answer: {type(error).__name__}")
    return judge(found)


def judge(found: list[dict[str, object]]) -> int:
    """The exit status for pip-audit's list of dependencies; tells what is wrong with each."""
    skipped = [each for each in found if each.get("skip_reason")]
    bad = [each for each in found if each.get("vulns")]
    for each in bad:
        for advisory in each["vulns"]:  # type: ignore[attr-defined]
            fixes = ", ".join(advisory["fix_versions"]) or "none yet"
            print(f"{each['name']} {each['version']}: {advisory['id']}, fixed in: {fixes}", file=sys.stderr)
    if bad:
        return 1
    if len(skipped) == len(found):
        return not_reached("the package registry knows none of the packages")
    if skipped:
        print(f"Not known to the registry: {', '.join(str(each['name']) for each in skipped)}", file=sys.stderr)
    print(f"No known advisories for {len(found) - len(skipped)} packages.", file=sys.stderr)
    return 0


def not_reached(why: str) -> int:
    print(f"ADVISORIES COULD NOT BE REACHED ({why}): nothing is known about the pinned versions.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
