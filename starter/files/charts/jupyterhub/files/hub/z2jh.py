"""The values of the Helm release, for jupyterhub_config.py and hub.extraConfig.

The module has the name and the two readers that Zero to JupyterHub offers, so
that an entry of hub.extraConfig works with either chart.
"""

import functools
import os

import yaml

SECRET_DIR = os.environ.get("HUB_SECRET_DIR", "/usr/local/etc/jupyterhub/secret")


@functools.cache
def _values():
    with open(os.path.join(SECRET_DIR, "values.yaml"), encoding="utf-8") as f:
        return yaml.safe_load(f) or {}


def get_config(key, default=None):
    """Return the value at a dotted key, or default where there is none."""
    value = _values()
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            return default
        value = value[name]
    return value


def get_secret_value(key, default=None):
    """Return one entry of the Secret hub, or default where there is none."""
    try:
        with open(os.path.join(SECRET_DIR, key), encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return default


def set_config_if_not_none(section, trait, key):
    """Set a trait of a configuration section from the value at a dotted key, if any."""
    value = get_config(key)
    if value is not None:
        setattr(section, trait, value)
