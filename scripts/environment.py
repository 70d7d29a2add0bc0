"""Make a virtual environment match its requirement files; does nothing when it already does.

    python3 scripts/environment.py VENV REQUIREMENTS... [-e]

Plain Python without packages, and readable by old versions of it, so that it can say what is missing.
"""
# ruff: noqa: UP031, T201

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time

NEEDS = (3, 11)
PIP = ["install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "2"]
NO_NETWORK = re.compile(
    "name resolution|Name or service not known|Network is unreachable|No route to host|Connection refused"
    "|ConnectTimeoutError|ProxyError|NewConnectionError|Max retries exceeded"
)
APT = "on Debian or Ubuntu: `apt-get install python3-venv`"


def fail(message):
    """End with one line."""
    sys.exit("setup: " + message)


def check_python():
    """See that this Python can make the environment."""
    if sys.version_info < NEEDS:
        version = ".".join(map(str, sys.version_info[:3]))
        fail("Python %d.%d or newer is needed, this is %s; try PYTHON=python3.12" % (*NEEDS, version))
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        fail("this Python cannot make virtual environments; " + APT)


def digest(files):
    """Return a digest of the requirement files, those they name with -r included, and of this Python."""
    sha = hashlib.sha256(sys.version.encode())
    seen = list(files)
    for path in seen:
        if not os.path.isfile(path):
            fail("%s is missing" % path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        sha.update(("|%s|%s" % (path, text)).encode())
        folder = os.path.dirname(path)
        seen += [os.path.join(folder, name) for name in re.findall(r"^-r\s+(\S+)", text, re.M)]
    return sha.hexdigest()


def install(venv, arguments):
    """Run pip; show where it is on a terminal, and keep its output in VENV/pip.log."""
    started, seen, tail = time.monotonic(), 0, []
    command = [os.path.join(venv, "bin", "python"), "-m", "pip", *PIP, *arguments]
    with open(os.path.join(venv, "pip.log"), "w", encoding="utf-8") as log:
        pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in pip.stdout:
            log.write(line)
            tail = [*tail, line.strip()][-400:]
            seen += line.startswith("Collecting")
            if sys.stdout.isatty():
                note = "  %d packages, %3d s: %s" % (seen, time.monotonic() - started, line.strip())
                print("\r\033[K" + note[:100], end="", flush=True)
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    if pip.wait() != 0:
        details = "(%s/pip.log has the details)" % venv
        errors = [line for line in tail if line.startswith("ERROR")] or tail[-1:] or ["no output"]
        if NO_NETWORK.search("\n".join(tail)):
            fail("the package index cannot be reached: no network? " + details)
        fail("pip failed: %s %s" % (errors[0][:300], details))
    return time.monotonic() - started


def main():
    """Bring the environment named first up to date with the files named after it."""
    venv, *files = [argument for argument in sys.argv[1:] if argument != "-e"]
    check_python()
    editable = ["-e", "."] if "-e" in sys.argv else []
    wanted = digest(files + (["pyproject.toml"] if editable else []))
    stamp = os.path.join(venv, ".stamp")
    if os.path.isfile(stamp):
        with open(stamp, encoding="utf-8") as file:
            if file.read() == wanted:
                return
    print("setup: installing %s into %s (minutes, the first time)" % (" ".join(files), venv), flush=True)
    if not os.path.exists(os.path.join(venv, "bin", "python")):
        command = [sys.executable, "-m", "venv", venv]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            lines = (made.stdout + made.stderr).strip().splitlines() or ["no output"]
            fail("cannot make %s: %s; %s" % (venv, lines[0], APT))
    seconds = install(venv, [part for name in files for part in ("-r", name)] + editable)
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(wanted)
    print("setup: %s is ready (%.0f s)" % (venv, seconds), flush=True)


if __name__ == "__main__":
    main()
