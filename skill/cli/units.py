"""Units for the schedulers that systems bring along, for people who want no resident process of ours.

Each asks once an hour and lets `--if-due` decide: so a computer that slept through the night catches up within the
hour after it wakes, and the time of the night stays a setting of Strop's, in its own time zone.
"""

import shlex
import subprocess
from collections.abc import Sequence

INSTALL = {
    "systemd": "save the two parts as ~/.config/systemd/user/strop-night.service and strop-night.timer, then: "
    "systemctl --user enable --now strop-night.timer",
    "cron": "add the line with: crontab -e",
    "launchd": "save it as ~/Library/LaunchAgents/strop.night.plist, then: "
    "launchctl bootstrap gui/$UID ~/Library/LaunchAgents/strop.night.plist",
    "windows": "paste it into PowerShell",
}


def unit(system: str, command: Sequence[str], minute: int) -> str:
    """The unit that runs `command` once an hour at `minute`. `system` is a key of INSTALL."""
    return {"systemd": _systemd, "cron": _cron, "launchd": _launchd, "windows": _windows}[system](command, minute)


def _systemd(command: Sequence[str], minute: int) -> str:
    words = (word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") for word in command)
    line = " ".join(f'"{word}"' for word in words)
    return (
        "# strop-night.service\n[Unit]\nDescription=Strop's night, if one is due\n\n"
        f"[Service]\nType=oneshot\nNice=10\nExecStart={line}\n\n"
        "# strop-night.timer\n[Unit]\nDescription=Ask every hour whether Strop's night is due\n\n"
        f"[Timer]\nOnCalendar=*-*-* *:{minute:02d}:00\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
    )


def _cron(command: Sequence[str], minute: int) -> str:
    return f"{minute} * * * * " + shlex.join(command).replace("%", "\\%")


def _launchd(command: Sequence[str], minute: int) -> str:
    import plistlib

    job = {"Label": "strop.night", "ProgramArguments": list(command), "StartCalendarInterval": {"Minute": minute}}
    return plistlib.dumps({**job, "LowPriorityIO": True, "ProcessType": "Background"}).decode()


def _windows(command: Sequence[str], minute: int) -> str:
    program, arguments = (text.replace("'", "''") for text in (command[0], subprocess.list2cmdline(command[1:])))
    return (
        f"$action = New-ScheduledTaskAction -Execute '{program}' -Argument '{arguments}'\n"
        f"$trigger = New-ScheduledTaskTrigger -Once -At 00:{minute:02d} -RepetitionInterval (New-TimeSpan -Hours 1)\n"
        "$settings = New-ScheduledTaskSettingsSet -StartWhenAvailable -MultipleInstances IgnoreNew\n"
        "Register-ScheduledTask -TaskName 'Strop night' -Action $action -Trigger $trigger -Settings $settings"
    )
