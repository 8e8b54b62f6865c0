"""Start a Python program that sees Python, the library and one folder of its own, and nothing else.

    python tools/sandbox.py FOLDER -m ipykernel_launcher -f FOLDER/kernel/kernel.json

Used by tools/grade.py for answers that strangers wrote. Linux's Landlock takes the rights away before the
program starts, for it and all its children, and no right comes back: it reads system files, Python and
vae_lib, writes to FOLDER, opens no TCP connection, and sends no signal to a process outside. It needs no
privileges, and works where the kernel has it: 5.13 or newer for files, 6.7 for TCP, 6.12 for signals.
"""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

# linux/landlock.h. Each version of the interface adds rights; those a kernel does not know must not be named.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = RULE_PATH_BENEATH = 1
SET_NO_NEW_PRIVS, DROP_CAPABILITY = 38, 24
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1, 2, 4, 8, 1 << 14
FILE_RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
CONNECT_TCP = 2
SCOPE_SOCKETS_AND_SIGNALS = 3

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sys", "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts")
# Not all of /proc: it shows the variables of other processes.
PROC = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/sys")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
FOLDERS = ("work", "home", "tmp", "kernel")
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def system_call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def version() -> int:
    """Version of Landlock, 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return system_call(CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)
    except OSError:
        return 0


def restrict(readable: list[str], writable: list[str]) -> None:
    """Take every right on files away, but for reading below `readable` and all rights below `writable`."""
    known = version()
    files = FILE_RIGHTS_BY_VERSION[min(known, 3)]
    attributes = Ruleset(
        files, CONNECT_TCP if known >= 4 else 0, SCOPE_SOCKETS_AND_SIGNALS if known >= 6 else 0
    )
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    ruleset = system_call(CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    rules = [(path, EXECUTE | READ_FILE | READ_DIR) for path in readable] + [
        (path, files) for path in writable
    ]
    for path, rights in rules:
        if not os.path.exists(path):
            continue
        if not os.path.isdir(path):
            rights &= EXECUTE | READ_FILE | WRITE_FILE | TRUNCATE
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = PathRule(rights & files, descriptor)
        system_call(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        os.close(descriptor)
    libc = ctypes.CDLL(None)
    for capability in range(
        64
    ):  # what root may do beyond its files; refused, and not needed, for anyone else
        libc.prctl(DROP_CAPABILITY, capability, 0, 0, 0)
    libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    system_call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def environment(folder: Path) -> Iterator[tuple[str, str]]:
    """A few variables of ours; no token and no path of the machine's owner comes along."""
    yield from ((name, os.environ[name]) for name in KEPT_VARIABLES if name in os.environ)
    yield from (("HOME", f"{folder}/home"), ("TMPDIR", f"{folder}/tmp"), ("USER", "student"))
    yield from (("MPLCONFIGDIR", f"{folder}/home/matplotlib"), ("MPLBACKEND", "agg"), ("PYTHONHASHSEED", "0"))
    yield from (
        ("PYTHONPATH", f"{folder}/library"),
        ("TQDM_DISABLE", "1"),
        ("JOBLIB_MULTIPROCESSING", "0"),
        ("PYDEVD_DISABLE_FILE_VALIDATION", "1"),
    )


def main() -> None:
    folder, command = Path(sys.argv[1]).resolve(), sys.argv[2:]
    variables = dict(environment(folder))
    library = str((folder / "library" / "vae_lib").resolve())
    limits = {resource.RLIMIT_FSIZE: 1 << 28, resource.RLIMIT_CORE: 0}
    if memory := int(os.environ.get("SANDBOX_MEMORY", "0")):
        limits[resource.RLIMIT_DATA] = memory
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))
    os.chdir(folder / "work")
    # What the program says outside its cells goes to a file of its own, not to the teacher's terminal.
    log = os.open(folder / "kernel" / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if version() > 0:
        python = [sys.prefix, sys.base_prefix, str(folder / "library"), library]
        restrict([*SYSTEM, *PROC, *python], [*DEVICES, *(str(folder / name) for name in FOLDERS)])
    os.execve(sys.executable, [sys.executable, *command], variables)


if __name__ == "__main__":
    main()
