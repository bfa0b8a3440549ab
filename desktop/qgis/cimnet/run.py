"""Runs the command line of cimnet in a Python of the user's choice. Imports nothing of QGIS."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time

PROGRESS = re.compile(r"progress (\d+) (\d+)")
_OF_QGIS = ("PYTHONHOME", "PYTHONPATH", "GDAL_DATA", "PROJ_LIB", "PROJ_DATA", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH")
"""Settings that QGIS makes for its own Python and libraries."""


class CimnetError(Exception):
    """Why a run failed, in one line."""


def run_cimnet(python, words, progress, say, cancelled):
    """Run ``python -m cimnet.cli WORDS``. All callbacks are called in the thread of the caller.

    Args:
        python: path of a Python that has cimnet.
        words: of the command line.
        progress: called with per cent.
        say: called with each line of output.
        cancelled: asked several times a second; true stops the run.

    Returns:
        Whether it ran to its end; False: it was cancelled.

    Raises:
        CimnetError: it failed, or this Python has no cimnet.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _OF_QGIS}
    environment["PYTHONUNBUFFERED"] = environment["PYTHONUTF8"] = "1"
    try:
        process = subprocess.Popen(
            [python, "-m", "cimnet.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=environment,
            start_new_session=sys.platform != "win32",
        )
    except OSError as error:
        reason = f"cannot be started ({error.strerror}); choose the Python that has cimnet"
        raise CimnetError(f"{python}: {reason}") from error
    errors = []
    stopped = False
    for line, is_error in _lines(process):
        if is_error and line is not None:
            errors.append(line)
        elif line is not None:
            _tell(line, progress, say)
        if cancelled() and not stopped:
            stopped = True
            process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
    process.wait()
    if stopped:
        return False
    if process.returncode:
        raise CimnetError(_reason(python, errors))
    return True


def _lines(process):
    """Lines of both streams, each with whether it is an error; (None, False) now and then while none comes.

    They are given out in the thread that called, because QGIS shows no progress that another thread tells.
    """
    found = queue.SimpleQueue()
    streams = [(process.stdout, False), (process.stderr, True)]
    for stream, is_error in streams:
        threading.Thread(target=_read, args=(stream, is_error, found), daemon=True).start()
    left, ended = len(streams), None
    while left:
        try:
            line, is_error = found.get(timeout=0.2)
        except queue.Empty:
            if process.poll() is not None:
                ended = ended or time.monotonic()
                if time.monotonic() - ended > 5:  # a process that it began still holds the streams
                    return
            yield None, False
            continue
        left -= line is None
        yield line, is_error


def _read(stream, is_error, found):
    with stream:
        for line in stream:
            found.put((line.rstrip("\n"), is_error))
    found.put((None, is_error))


def _tell(line, progress, say):
    found = PROGRESS.fullmatch(line.strip())
    if found:
        progress(100 * int(found.group(1)) / max(int(found.group(2)), 1))
    elif line.strip():
        say(line)


def _reason(python, errors):
    """The last line that says something; where cimnet is not installed, how to install it."""
    text = "\n".join(errors)
    if re.search(r"No module named '?cimnet", text):
        return f'{python}: has no cimnet; run: "{python}" -m pip install "cimnet[geo]"'
    lines = [line for line in errors if line.strip()]
    if not lines:
        return "cimnet ended without a word"
    return lines[-1].replace("cimnet: ", "", 1).replace("--overwrite", '"Replace outputs that exist"')
