"""tests/gpu and what the builds without nvcc say, on a machine that needs no GPU."""

import os
import subprocess

import pytest
from daemon import BUILD, ROOT

EMULATED = BUILD / "tests" / "cuda_emulation" / "rejectd_cuda_emulated.so"
FAKE = BUILD / "tests" / "module" / "rejectd_fake.so"
# Notes how it was called, and finds a race.
SANITIZER = """#!/bin/sh
echo "$REJECTD_TEST_BACKENDS $CK_FORK $CK_RUN_CASE $*" >>"$0.calls"
case "$*" in *racecheck*) echo "RACECHECK SUMMARY: 1 hazard"; exit 1 ;; esac
"""

needs_emulation = pytest.mark.skipif(not EMULATED.exists(), reason="the emulation is not built")


def gpu(*arguments, **environment):
    return subprocess.run([ROOT / "tests" / "gpu", *map(str, arguments)], text=True, capture_output=True,
                          env=os.environ | environment)  # fmt: skip


def configured(*settings):
    """What cmake/cuda.cmake alone says; it knows no C++ compiler there, and so can't use nvcc."""
    return subprocess.run(["cmake", *settings, "-P", ROOT / "cmake" / "cuda.cmake"], text=True, capture_output=True)


def test_no_gpu_is_a_failure_that_says_so():
    done = gpu("--module", FAKE, BUILD, REJECTD_FAKE_DEVICES="0")
    assert done.returncode == 1
    said = done.stdout.splitlines()
    assert said[0].startswith("tests/gpu: no GPU: ") and said[-1] == "FAIL device"


def test_another_module_does_not_stand_for_the_one_nvcc_builds(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "gpu_programs").write_text("unit/test_backend\n")
    done = gpu(tmp_path, REJECTD_CUDA_MODULE=str(EMULATED))
    assert done.returncode == 1
    assert "the CUDA module was not built" in done.stdout and "FAIL module" in done.stdout


def test_a_program_that_is_not_listed_is_none():
    done = gpu("--module", FAKE, BUILD, "unit/test_nothing")
    assert done.returncode == 1 and "FAIL unit/test_nothing" in done.stdout


def test_conformance_and_parity_are_listed():
    listed = (BUILD / "tests" / "gpu_programs").read_text().split()
    assert {"unit/test_backend", "unit/test_devices", "parity/test_golden", "parity/test_golden_meg"} <= set(listed)


@pytest.mark.slow
@needs_emulation
def test_programs_run_on_the_module_and_under_both_tools(tmp_path):
    sanitizer = tmp_path / "compute-sanitizer"
    sanitizer.write_text(SANITIZER)
    sanitizer.chmod(0o755)
    done = gpu("--module", EMULATED, BUILD, "unit/test_backend", CK_RUN_CASE="mixed",
               PATH=f"{tmp_path}:{os.environ['PATH']}")  # fmt: skip
    note, conformance, memcheck, *race = done.stdout.splitlines()
    assert "emulated device 0" in note
    assert conformance.startswith("ok   test_backend: ") and ", Checks: " in conformance
    assert memcheck.startswith("ok   memcheck test_backend: ")
    assert race == ["RACECHECK SUMMARY: 1 hazard", "FAIL racecheck test_backend"] and done.returncode == 1
    calls = (tmp_path / "compute-sanitizer.calls").read_text().splitlines()
    program = BUILD / "tests" / "unit" / "test_backend"
    assert calls == [f"cuda no operations --tool {tool} --error-exitcode 1 --report-api-errors no {program}"
                     for tool in ("memcheck", "racecheck")]  # fmt: skip


@pytest.mark.slow
@needs_emulation
def test_without_the_tool_a_note_says_so(tmp_path):
    for command in ("bash", "dirname", "realpath", "grep", "head", "sed", "timeout"):
        (tmp_path / command).symlink_to(os.path.realpath(f"/usr/bin/{command}"))
    done = gpu("--module", EMULATED, BUILD, "unit/test_backend", CK_RUN_CASE="mixed", PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "note: compute-sanitizer is not found: no memcheck, no racecheck"


@pytest.mark.parametrize("setting, why", [("ON", "no nvcc found"), ("OFF", "REJECTD_CUDA is off")])
def test_what_requires_cuda_fails_without_nvcc(setting, why):
    done = configured(f"-DREJECTD_CUDA={setting}", "-DREJECTD_REQUIRE_CUDA=1")
    assert done.returncode != 0 and f"CUDA: not built ({why}), and" in " ".join(done.stderr.split())
    done = configured(f"-DREJECTD_CUDA={setting}")
    assert done.returncode == 0 and f"CUDA: not built ({why})" in done.stdout
