"""Commands for one or several devices: what they were asked for, and how what came of it is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nagsdk.cli.printing import print_json, say
from nagsdk.cli.progress import listener

if TYPE_CHECKING:
    from nagsdk.events import Listener
    from nagsdk.pipeline.several import Outcome
    from nagsdk.pipeline.target import Target

T = TypeVar("T")


@dataclass(frozen=True)
class Devices:
    """The devices that a command was asked for: one, or all that match a pattern.

    Attributes:
        named: The value of --device.
        settings: The other arguments of `nagsdk.Target`.
    """

    named: str
    settings: dict[str, Any]

    @property
    def several(self) -> bool:
        """Whether the value means several devices."""
        from nagsdk.pipeline.several import is_several

        return is_several([self.named])

    def each(self, work: Callable[[Target], T]) -> list[Outcome[T]]:
        """Does work on each device; on several, those of a lab work at the same time, and errors are outcomes."""
        from nagsdk.pipeline.several import Outcome, devices_named, each
        from nagsdk.pipeline.target import Target

        on_event = listener()
        if not self.several:
            return [Outcome(self.named, work(Target(self.named, **self.settings, on_event=on_event)))]
        lab = self.settings["lab"]

        def target(name: str, on_event: Listener) -> Target:
            return Target(name, **self.settings, on_event=on_event)

        return each(devices_named([self.named], lab), target, work, lab is not None, on_event)

    def beside(self, path: str | None, device: str) -> str | None:
        """A file or folder for one of the devices: with its name, if there are several."""
        if path is None or not self.several:
            return path
        plain = Path(path)
        return str(plain.with_name(f"{plain.stem}-{device}{plain.suffix}") if plain.suffix else plain / device)


def print_outcomes(
    outcomes: Sequence[Outcome[T]], several: bool, as_json: bool, show: Callable[[T], object], plain: Callable[[T], Any]
) -> int:
    """Prints what came of one or several devices, and returns the exit code of the errors among it.

    Args:
        outcomes: The outcomes.
        several: Whether several devices were asked for; a list is printed then, also of one.
        as_json: Whether JSON is printed.
        show: Prints a result for people.
        plain: Makes JSON of a result.
    """
    code = max([one.error.exit_code for one in outcomes if one.error is not None], default=0)
    if as_json:
        rows = [_row(one, plain) for one in outcomes]
        print_json(rows if several else rows[0]["result"])
        return code
    for one in outcomes:
        if one.result is not None:
            show(one.result)
        if one.error is not None:
            say(f"{one.device}: {one.error.message}", fg="red", err=True)
            say(one.error.next_step, err=True)
    return code


def _row(one: Outcome[T], plain: Callable[[T], Any]) -> dict[str, Any]:
    failed = None if one.error is None else {"message": one.error.message, "next_step": one.error.next_step}
    return {"device": one.device, "result": None if one.result is None else plain(one.result), "error": failed}
