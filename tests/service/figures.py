"""Reads Prometheus' text format 0.0.4, strictly: what is not as it must be raises."""

import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,?)')
SUFFIXES = ("_bucket", "_sum", "_count")


class Figures:
    """types: {family: type}; samples: [(name, {label: value}, number)] in their order."""

    def __init__(self, text):
        self.types, self.samples = {}, []
        helps, current, finished = set(), None, set()
        assert text.endswith("\n")
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                name = line.split(" ")[2]
                assert name not in helps and len(line.split(" ", 3)[3]) > 5, line
                helps.add(name)
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name in helps and name not in self.types, line
                assert kind in ("counter", "gauge", "histogram"), line
                self.types[name] = kind
                finished.add(current)
                current = name
            else:
                name, labels, number = self.read_sample(line)
                family = self.family_of(name)
                assert family == current and family not in finished, line
                self.samples.append((name, labels, number))
        keys = [(name, tuple(sorted(labels.items()))) for name, labels, _ in self.samples]
        assert len(keys) == len(set(keys)), "a sample is there twice"
        self.check_histograms()

    def family_of(self, name):
        if name in self.types:
            assert self.types[name] != "histogram"
            return name
        for suffix in SUFFIXES:
            if name.endswith(suffix) and self.types.get(name[: -len(suffix)]) == "histogram":
                return name[: -len(suffix)]
        raise AssertionError(f"{name} has no type")

    @staticmethod
    def read_sample(line):
        name = NAME.match(line).group(0)
        rest, labels = line[len(name):], {}
        if rest.startswith("{"):
            at = 1
            while rest[at] != "}":
                found = LABEL.match(rest, at)
                assert found, line
                assert found.group(1) not in labels, line
                labels[found.group(1)] = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), found.group(2))
                at = found.end()
                assert found.group(3) or rest[at] == "}", line
            rest = rest[at + 1:]
        assert rest.startswith(" ") and len(rest.split(" ")) == 2, line
        return name, labels, float(rest)

    def check_histograms(self):
        series = {}
        for name, labels, number in self.samples:
            if name.endswith("_bucket"):
                key = name[:-7], tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
                series.setdefault(key, []).append((float(labels["le"]), number))
        for (family, labels), buckets in series.items():
            assert buckets == sorted(buckets), (family, labels)
            assert buckets[-1][0] == math.inf
            assert self.value(family + "_count", **dict(labels)) == buckets[-1][1]
            assert self.value(family + "_sum", **dict(labels)) >= 0.0

    def all(self, name, **labels):
        return [(l, n) for s, l, n in self.samples if s == name and labels.items() <= l.items()]

    def value(self, name, **labels):
        """Of the one sample with these labels; None when there is none."""
        found = [n for s, l, n in self.samples if s == name and l == labels]
        return found[0] if found else None

    def total(self, name, **labels):
        return sum(number for _, number in self.all(name, **labels))


def figures(api, headers=None):
    response = api.get("/metrics", headers=headers or {})
    assert response.status == 200, response
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Figures(response.body.decode())
