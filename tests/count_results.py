#!/usr/bin/env python3
"""Counts tests in the logs of ctest -V, pytest and tests/lint: prints "PASSED FAILED SKIPPED".

count_results.py KIND LOG, KIND being ctest, pytest, fuzz or lines ("ok ..." and "FAIL ..."). A ctest
program that tells how many checks it made counts as that many, any other one as one.
"""

import re
import sys


def count_lines(text):
    return len(re.findall(r"^ok\b", text, re.M)), len(re.findall(r"^FAIL\b", text, re.M)), 0


def count_fuzz(text):
    runs = re.findall(r"^fuzz_\w+: .*?(no failure|FAILED)", text, re.M)
    return runs.count("no failure"), runs.count("FAILED"), 0


def count_pytest(text):
    summary = [line for line in text.splitlines() if re.search(r"\d+ \w+.* in [\d.]+s", line)]
    found = dict.fromkeys(("passed", "failed", "error", "skipped", "xfailed"), 0)
    for number, word in re.findall(r"(\d+) (passed|failed|error|skipped|xfailed)", summary[-1] if summary else ""):
        found[word] += int(number)
    return found["passed"], found["failed"] + found["error"] + found["xfailed"], found["skipped"]


def count_ctest(text):
    outputs = {}
    for number, line in re.findall(r"^(\d+): (.*)$", text, re.M):
        outputs.setdefault(number, []).append(line)
    passed = failed = skipped = 0
    ends = re.findall(r"^ *\d+/\d+ Test +#(\d+): \S+ \.+ *(.*?) +[\d.]+ sec", text, re.M)
    for number, verdict in ends:
        good = bad = 0
        for line in outputs.get(number, []):
            if checks := re.search(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", line):
                total, failures, errors = map(int, checks.groups())
                good, bad = good + total - failures - errors, bad + failures + errors
            elif own := re.fullmatch(r"(\d+) passed, (\d+) failed", line.strip()):
                good, bad = good + int(own[1]), bad + int(own[2])
        if "Skipped" in verdict:
            skipped += 1
        elif verdict.strip() == "Passed":
            passed, failed = passed + max(good, 1), failed + bad
        elif "Skipped" in verdict:
            skipped += 1
        else:
            passed, failed = passed + good, failed + max(bad, 1)
    return passed, failed, skipped


def main():
    kind, log = sys.argv[1:]
    with open(log, encoding="utf-8", errors="replace") as file:
        text = file.read()
    counters = {"lines": count_lines, "pytest": count_pytest, "ctest": count_ctest, "fuzz": count_fuzz}
    print(*counters[kind](text))


if __name__ == "__main__":
    main()
