"""JupyterHub's configuration file: the lab's settings, turned into JupyterHub's by functions that only set."""

from earthlab.hub.setting_up import set_up

set_up(get_config())
