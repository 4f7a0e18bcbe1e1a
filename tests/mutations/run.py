#!/usr/bin/env python3
"""run.py - break the program in one line at a time and see whether a test notices.

usage: tests/mutations/run.py [-j WORKERS] [NAME...]

Copies the tree, builds it, checks that the tests pass, then makes each mutation of list.txt
(or the named ones) in the copy, builds, and runs the programs that its entry names until one
fails.  Prints `caught by PROGRAM` or `SURVIVED`; exit status 1 when one survived or does not
apply or compile.  Needs what the build needs; takes about half a minute a mutation and worker.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

TREE = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 1800  # of one command: a mutation may make a loop endless


def read_list():
    """Blocks of five lines after the first, which explains them."""
    mutations = {}
    text = (TREE / "tests/mutations/list.txt").read_text()
    for block in text.strip().split("\n\n")[1:]:
        title, path, programs, old, new = block.split("\n")
        name, rule = title.split(": ", 1)
        assert old.startswith("- ") and new.startswith("+ ") and name not in mutations, block
        mutations[name] = (rule, path, programs.split(), old[2:], new[2:])
    return mutations


def fails(command, cwd):
    """Whether a command fails.  A test program is ended at its first failed test."""
    environment = dict(os.environ, OMP_WAIT_POLICY="passive", srcdir=str(cwd / "source"),
                       SPARSESCOPE=str(cwd / "build/sparsescope"))
    process = subprocess.Popen(command, cwd=cwd / "build", env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    timer = threading.Timer(SECONDS, process.terminate)
    timer.start()
    failed = False
    for line in process.stdout:
        if line.startswith("not ok"):
            failed = True
            process.terminate()
    status = process.wait()
    timer.cancel()
    if status == -signal.SIGKILL:
        sys.exit("run.py: a test was killed from outside: that proves nothing")
    return failed or status != 0


def target(program):
    if program == "golden":
        return "sparsescope"
    folder = "unit" if (TREE / f"tests/unit/{program}.c").exists() else "property"
    return f"tests/{folder}/{program}.t"


def command(program):
    if program == "golden":
        return ["sh", "../source/tests/golden.sh"]
    return [target(program)]


def copy_tree(folder):
    files = subprocess.run(["git", "ls-files"], cwd=TREE, check=True, capture_output=True,
                           text=True).stdout.splitlines()
    for file in files:
        (folder / "source" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TREE / file, folder / "source" / file)
    (folder / "build").mkdir()
    subprocess.run(["autoreconf", "-i"], cwd=folder / "source", check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def prepare(folder, programs):
    """A built copy whose tests pass."""
    copy_tree(folder)
    for step in (["../source/configure", "--without-cuda", "CFLAGS=-O2"],
                 ["make", "all"], ["make", *map(target, programs)]):
        if fails(step, folder):
            sys.exit(f"run.py: {' '.join(step[:2])} fails without any mutation")


def notice(folder, mutation):
    """What became of one mutation; the copy is restored."""
    _, path, programs, old, new = mutation
    file = folder / "source" / path
    text = file.read_text()
    if text.count(old) != 1:
        return f"DOES NOT APPLY: {text.count(old)} places"
    file.write_text(text.replace(old, new))
    try:
        if fails(["make", *map(target, programs)], folder):
            return "DOES NOT COMPILE"
        for program in programs:
            if fails(command(program), folder):
                return f"caught by {program}"
        return "SURVIVED"
    finally:
        file.write_text(text)


def main():
    words = sys.argv[1:]
    workers = int(words.pop(1)) if words[:1] == ["-j"] else 1
    mutations = read_list()
    names = words[1:] if words[:1] == ["-j"] else words
    names = names or list(mutations)
    programs = sorted({p for name in names for p in mutations[name][2]})
    folders, failed = Queue(), 0
    with tempfile.TemporaryDirectory() as root:
        made = [pathlib.Path(root) / str(i) for i in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda folder: prepare(folder, programs), made))
        for program in programs:
            if fails(command(program), made[0]):
                sys.exit(f"run.py: {program} fails without any mutation")
        for folder in made:
            folders.put(folder)

        def work(name):
            folder = folders.get()
            result = notice(folder, mutations[name])
            folders.put(folder)
            return name, result

        with ThreadPoolExecutor(workers) as pool:
            for name, result in pool.map(work, names):
                print(f"{name:20} {mutations[name][0]}: {result}", flush=True)
                failed += not result.startswith("caught")
    print(f"{len(names)} mutations, {len(names) - failed} caught")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
