"""A process that is nothing but a shell, for tests of what is done to processes."""

from pathlib import Path

from docker.local.ports import free_port
from docker.local.services import Service
from schemas.settings import Settings


class Shell(Service):
    """Runs `script` with its environment: lasts until it is ended, if that says nothing else. It answers nobody."""

    def __init__(self, name: str, home: Path, codes: list[int] | None = None) -> None:
        super().__init__(name, home / name, Settings.model_validate({}), free_port())
        self.codes = codes or []  # it ends by itself with these, one a start, before it lasts
        self.greeting = "echo started"
        self.script = "exec sleep 60"

    def command(self) -> list[str]:
        script = f"exit {self.codes.pop(0)}" if self.codes else self.script
        own = [f"{name}={value}" for name, value in self.extra_environ.items()]
        return ["env", *own, "sh", "-c", f"# {self.home}/\n{self.greeting}; {script}"]

    def get(self, path: str) -> tuple[int, str]:
        raise OSError("nobody answers")
