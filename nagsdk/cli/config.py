"""``nagsdk config``."""

from __future__ import annotations

from nagsdk.cli import options as o
from nagsdk.cli import printing
from nagsdk.cli.printing import say

HELP = """Show the settings, and where each value comes from.

\b
An option takes precedence over its environment variable, and the variable
over the config file:
  device = "cpu"                # NAGSDK_DEVICE, instead of --device
  bundle = "glyphs"             # NAGSDK_BUNDLE, instead of --bundle
  cache_dir = "cache"           # NAGSDK_CACHE_DIR; relative to the file
  data_dir = "~/nagsdk"         # NAGSDK_DATA_DIR
  store = "lab.sqlite"          # NAGSDK_STORE; or postgresql://…
  disable_plugins = ["cuda"]    # NAGSDK_DISABLE_PLUGINS, separated by commas
  plugin_timeout_s = 10         # NAGSDK_PLUGIN_TIMEOUT_S
  offline = true                # NAGSDK_OFFLINE=1; refuse every download
  pool_join = true              # NAGSDK_POOL_JOIN=1; devices join the pool
  lab = "tls://lab-server:8786" # NAGSDK_LAB; or "local"
  lab_certificates = "lab"      # NAGSDK_LAB_CERTIFICATES

The file is config.toml in the user's config folder, or the one that NAGSDK_CONFIG names.
"""


@o.command("config", "nagsdk config", "NAGSDK_DEVICE=cpu nagsdk config --json", help=HELP)
@o.json_option
def command(as_json: bool) -> None:
    """Prints every setting with its origin."""
    from nagsdk.common import config

    file = config.config_file()
    values = [config.look_up(name) for name in config.SETTINGS]
    if as_json:
        listed = [{"name": v.name, "value": _plain(v.value), "origin": v.origin, "where": v.where} for v in values]
        printing.print_json({"file": str(file), "exists": file.is_file(), "settings": listed})
        return
    say(f"Config file: {file}{'' if file.is_file() else ' (does not exist)'}")
    rows = [(v.name, _shown(v.value), v.where or v.origin, v.what) for v in values]
    printing.print_table(("setting", "value", "from", "what"), rows)


def _plain(value: object) -> object:
    return (
        list(value)
        if isinstance(value, tuple)
        else value
        if value is None or isinstance(value, (str, float))
        else str(value)
    )


def _shown(value: object) -> str:
    return "–" if value is None or value == () else ", ".join(value) if isinstance(value, tuple) else str(value)
