"""A real JupyterHub on loopback for the tests of verification.

What differs between runs comes as JSON in HUBSHIP_TEST_HUB: ports, folders,
services with their scopes, and how the servers of some users misbehave.
"""

import json
import os
import sys

c = get_config()  # noqa: F821
test = json.loads(os.environ["HUBSHIP_TEST_HUB"])

c.JupyterHub.bind_url = f"http://127.0.0.1:{test['port']}/"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{test['hubPort']}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{test['proxyPort']}"
c.ConfigurableHTTPProxy.command = [test["proxy"]]
c.ConfigurableHTTPProxy.pid_file = os.path.join(test["dir"], "proxy.pid")
c.JupyterHub.db_url = "sqlite:///" + os.path.join(test["dir"], "hub.sqlite")
c.JupyterHub.cookie_secret_file = os.path.join(test["dir"], "cookie_secret")
# As Zero to JupyterHub has it: a request to start a server is answered at
# once, and the stream of events tells the rest.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": test["slowSpawn"]}

c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {test["admin"]}
c.Authenticator.blocked_users = set(test["blocked"])

c.JupyterHub.services = [
    {"name": s["name"], "api_token": s["token"]} for s in test["services"]
]
c.JupyterHub.load_roles = [
    {"name": s["name"], "services": [s["name"]], "scopes": s["scopes"]}
    for s in test["services"]
]

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.join(test["dir"], "home", "{username}")
c.Spawner.args = ["--allow-root"] if os.getuid() == 0 else []
c.Spawner.cmd = [os.path.join(os.path.dirname(sys.executable), "jupyterhub-singleuser")]
c.Spawner.default_url = "/lab"
c.Spawner.environment = {"PYTHONPATH": test["site"], "JUPYTER_PREFER_ENV_PATH": "0"}
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120


def misbehave(spawner):
    """Make the servers of some users fail in their own ways."""
    how = test["misbehave"].get(spawner.user.name)
    if how == "exits":
        spawner.cmd = [sys.executable, "-c", "raise SystemExit('no such configuration')"]
        spawner.http_timeout = 3
    elif how == "hangs":
        spawner.cmd = [sys.executable, "-c", "import time; time.sleep(600)"]
    elif how == "refused":
        raise RuntimeError("the quota of this test is used up")
    elif how == "bad kernel and page":
        spawner.environment = dict(spawner.environment, JUPYTER_PATH=test["badKernel"])
        spawner.default_url = "/no-such-page"


c.Spawner.pre_spawn_hook = misbehave
