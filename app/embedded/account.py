"""Who the embedded Postgres runs as: PostgreSQL refuses to run as root.

A normal user runs it as themselves. Under root it runs as the owner of the data, or as a
system user made for it; no permission of any directory outside the data is changed.
"""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app import setting_names
from app.errors import ConfigurationError

__all__ = ["Account", "account_for"]

USER_NAME: Final = "widgetwire"
"""The system user that owns the data of a service run by root."""

_USERADD_ATTEMPTS: Final = 20
_USERADD_PAUSE_SECONDS: Final = 0.1
_CAPABILITY_BITS: Final = {"dac_read_search": 2, "dac_override": 1}
"""From linux/capability.h, the lesser first."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user to run the database's programs as."""

    uid: int
    gid: int
    own: bool
    """Whether that is who this process runs as already."""

    def give(self, path: Path) -> None:
        """Make `path` this account's."""
        if not self.own:
            os.chown(path, self.uid, self.gid)

    def run(
        self, command: Sequence[str], *, entering: Iterable[Path], timeout_seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this account and return how it ended, its output included.

        Args:
            command: the program's path and its arguments.
            entering: what it must reach besides itself; below directories that are closed
                to this account it is let in, and only there.
            timeout_seconds: after that it is killed.

        Raises:
            ConfigurationError: the account cannot be let in.
            subprocess.TimeoutExpired: it took too long.
            OSError: it cannot be executed.
        """
        command, user, group = self.command(command, entering=entering)
        return subprocess.run(  # noqa: S603 - the wheel's own programs, no shell
            command,
            user=user,
            group=group,
            extra_groups=None if user is None else (),
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )

    def command(
        self, command: Sequence[str], *, entering: Iterable[Path]
    ) -> tuple[Sequence[str], int | None, int | None]:
        """Return the command, the user and the group with which it runs as this account.

        Args:
            command: the program's path and its arguments.
            entering: as `run` takes it.

        Raises:
            ConfigurationError: the account cannot be let in.
        """
        program = Path(command[0])
        if not self.own and not all(map(self._reaches, (program, *entering))):
            return [*self._let_in(program), *command], None, None
        if self.own:
            return command, None, None
        return command, self.uid, self.gid

    def _reaches(self, path: Path) -> bool:
        """Whether plain permissions allow each directory above `path`; ACLs are not asked."""
        for directory in path.resolve().parents:
            found = directory.stat()
            if found.st_uid == self.uid:
                allowed = stat.S_IXUSR
            elif found.st_gid == self.gid:
                allowed = stat.S_IXGRP
            else:
                allowed = stat.S_IXOTH
            if not found.st_mode & allowed:
                return False
        return True

    def _let_in(self, program: Path) -> list[str]:
        # The alternative is to open root's directories to every user of the machine. An
        # ambient capability opens them to this one process tree, which root starts anyway.
        setpriv = shutil.which("setpriv")
        executable = bool(program.stat().st_mode & stat.S_IXOTH)
        capability = next(
            (
                name
                for name, bit in _CAPABILITY_BITS.items()
                if _permitted_capabilities() >> bit & 1 and (executable or name == "dac_override")
            ),
            None,
        )
        if setpriv is None or capability is None:
            raise ConfigurationError(
                "PostgreSQL does not run as root, and its user may not enter the directory of "
                f"the data or of the program {program}: set {setting_names.DATA_DIR} and install "
                "below directories that every user may enter, for example /var/lib and /opt, or "
                "start the service as a user other than root"
            )
        return [
            setpriv,
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            "--clear-groups",
            f"--inh-caps=-all,+{capability}",
            f"--ambient-caps=-all,+{capability}",
            f"--bounding-set=-all,+{capability}",
        ]


def account_for(data: Path) -> Account:
    """Return who runs the database whose files are in `data`, which may not exist yet.

    Raises:
        ConfigurationError: this process is root and no other user is there or can be made.
    """
    uid = os.geteuid()
    if uid != 0:
        return Account(uid, os.getegid(), own=True)
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, own=False)
    entry = _system_user()
    return Account(entry.pw_uid, entry.pw_gid, own=False)


def _system_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.defpath}:/usr/sbin:/sbin")
    reason = "there is no useradd program"
    for _ in range(_USERADD_ATTEMPTS):
        try:
            return pwd.getpwnam(USER_NAME)
        except KeyError:
            if useradd is None:
                break
        # It fails at once while another one holds the lock on the user database.
        made = subprocess.run(  # noqa: S603 - constant but for its directory
            [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER_NAME],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        reason = made.stderr.strip()
        if made.returncode != 0:
            time.sleep(_USERADD_PAUSE_SECONDS)
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and the system user {USER_NAME!r} cannot be made "
        f"({reason}): start the service as a user other than root, or set "
        f"{setting_names.DATABASE_URL} to a database of your own"
    )


def _permitted_capabilities() -> int:
    if sys.platform != "linux":
        return 0
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def _environment() -> dict[str, str]:
    # Nothing of ours reaches the database: neither secrets nor PGDATA, PGPORT and the like.
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
    return {"LC_ALL": "C"} | {name: os.environ[name] for name in kept if name in os.environ}
