"""The inside of a virtual phone: Android's real debug daemon in a chroot, in namespaces of its own.

    unshare -Urnm --pid --fork --kill-child --mount-proc python inside.py '{"adbd": …, "shared": …, "site": …}'

This daemon does not ask for a key, so it must never run outside a network namespace of its own. Tests reach it through
one UNIX socket in the `shared` folder and control it through another.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

PORT = 5600
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind="", flags=0, data=""):
    if LIBC.mount(str(source).encode(), str(target).encode(), kind.encode(), flags, data.encode()):
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}")


BIND, READ_ONLY, REMOUNT, RECURSIVE = 4096, 1, 32, 16384


def bind(source, target, read_only=True):
    target.mkdir(parents=True, exist_ok=True) if Path(source).is_dir() else target.touch()
    mount(source, target, flags=BIND | RECURSIVE)
    if read_only:
        # A user namespace must keep the flags of the original mount.
        flags = os.statvfs(target).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_RELATIME)
        mount("", target, flags=REMOUNT | BIND | READ_ONLY | flags)


def build(settings):
    """Builds the phone's file system and returns its root."""
    root, adbd = Path(settings["root"]), Path(settings["adbd"])
    mount("phone", root, "tmpfs", data="size=64m")
    for folder in (
        "proc",
        "dev/pts",
        "data/misc/adb",
        "data/local/tmp",
        "system/bin",
        "etc",
        "opt/adbd",
        "opt/site",
        "tmp",
        "sys",
    ):
        (root / folder).mkdir(parents=True)
    mount("data", root / "data/local/tmp", "tmpfs", data=f"size={settings['megabytes']}m")
    bind("/usr", root / "usr")
    mount("proc", root / "proc", "proc")
    for name in ("null", "zero", "urandom", "random", "tty"):
        bind(f"/dev/{name}", root / "dev" / name, read_only=False)
    mount("devpts", root / "dev/pts", "devpts", data="newinstance,ptmxmode=0666,mode=620")
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    for name in ("lib", "lib64", "sbin", *([] if settings["own_tools"] else ["bin"])):
        (root / name).symlink_to(f"usr/{name}")
    if settings["own_tools"]:  # Android's shell and tools, and no others
        (root / "bin").mkdir()
        shutil.copy(adbd / "bin/mksh", root / "bin/sh")
        shutil.copy(adbd / "bin/toybox", root / "system/bin/toybox")
        for name in subprocess.run([adbd / "bin/toybox"], capture_output=True, text=True, check=True).stdout.split():
            (root / "system/bin" / name).symlink_to("toybox")
    for number, site in enumerate(settings["site"]):
        bind(site, root / f"opt/site/{number}")
    bind(sys.base_prefix, root / "opt/python")
    bind(settings["shared"], root / "phone", read_only=False)
    libraries = adbd / "usr/lib/x86_64-linux-gnu"
    for file in (
        adbd / "usr/lib/android-sdk/platform-tools/adbd",
        *libraries.glob("*.so*"),
        *libraries.glob("android/*.so*"),
    ):
        shutil.copy(file, root / "opt/adbd")
    for name in ("getprop", "dumpsys"):
        tool = root / "system/bin" / name
        warning = "[ -f /phone/noise ] && cat /phone/noise >&2"  # as the linker of old phones does
        tool.write_text(f'#!/bin/sh\n{warning}\ncat "/phone/{name}/$1" 2>/dev/null || echo\n')
        tool.chmod(0o755)
    return root


def refuse_vsock():
    """Forbids sockets of the family AF_VSOCK, because namespaces do not isolate them (seccomp, x86-64)."""
    load, equal, leave = 0x20, 0x15, 0x06
    system_call, vsock, not_supported = 41, 40, 97
    rules = [
        (load, 0, 0, 0),
        (equal, 0, 3, system_call),
        (load, 0, 0, 16),
        (equal, 0, 1, vsock),
        (leave, 0, 0, 0x00050000 | not_supported),
        (leave, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
    if LIBC.prctl(38, 1, 0, 0, 0) or LIBC.prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))  # SIOCSIFFLAGS: up and running


class Daemon:
    """Runs adbd and restarts it whenever it ends, as a phone does."""

    def __init__(self, root, path):
        self.root, self.path, self.process, self.wanted = root, path, None, True
        threading.Thread(target=self.keep, daemon=True).start()

    def keep(self):
        environment = {"PATH": self.path, "LD_LIBRARY_PATH": "/opt/adbd", "ADBD_PORT": str(PORT)}

        def enter():
            os.chroot(self.root)
            os.chdir("/")
            refuse_vsock()

        while True:
            if self.wanted:
                with (Path(self.root) / "tmp/adbd.log").open("ab") as log:
                    self.process = subprocess.Popen(
                        ["/opt/adbd/adbd"], env=environment, preexec_fn=enter, stdout=log, stderr=log
                    )
                self.process.wait()
            time.sleep(0.1)


def pump(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def bridge(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(16)
    while True:
        near, _ = server.accept()
        try:
            far = socket.create_connection(("127.0.0.1", PORT), 2)
            far.settimeout(None)
        except OSError:
            near.close()
            continue
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def main():
    settings = json.loads(sys.argv[1])
    raise_loopback()
    path = "/system/bin" if settings["own_tools"] else "/system/bin:/usr/bin:/bin"
    daemon = Daemon(build(settings), path)
    shared = Path(settings["shared"])
    threading.Thread(target=bridge, args=(shared / "adb.sock",), daemon=True).start()
    control = socket.socket(socket.AF_UNIX)
    control.bind(str(shared / "control.sock"))
    control.listen(4)
    while True:
        asker, _ = control.accept()
        with asker:
            command = asker.recv(100).decode()
            daemon.wanted = command != "stop"
            if command in ("kill", "stop") and daemon.process is not None:
                daemon.process.kill()
                daemon.process.wait()
            asker.sendall(b"done")


if __name__ == "__main__":
    main()
