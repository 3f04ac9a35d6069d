"""Configures the hub from the values of its Helm release.

Order, last one wins: what the chart needs, hub.config, hub.extraConfig.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from z2jh import get_config as value  # noqa: E402
from z2jh import get_secret_value, set_config_if_not_none  # noqa: E402

c = get_config()  # noqa: F821  (JupyterHub provides it)

BASE_URL = value("hub.baseUrl", "/").rstrip("/") + "/"


def configure_hub():
    hub = c.JupyterHub
    hub.base_url = BASE_URL
    hub.hub_bind_url = "http://:8081"
    hub.hub_connect_url = "http://hub:8081"
    # Running servers outlive the hub: a restart or an upgrade disturbs nobody.
    hub.cleanup_servers = False
    hub.last_activity_interval = 60
    # A browser is shown the progress page at once.
    hub.tornado_settings = {"slow_spawn_timeout": 0}
    hub.cookie_secret = get_secret_value("hub.config.JupyterHub.cookie_secret")
    c.CryptKeeper.keys = get_secret_value("hub.config.CryptKeeper.keys").split(";")

    set_config_if_not_none(hub, "concurrent_spawn_limit", "hub.concurrentSpawnLimit")
    set_config_if_not_none(hub, "active_server_limit", "hub.activeServerLimit")
    set_config_if_not_none(hub, "allow_named_servers", "hub.allowNamedServers")
    set_config_if_not_none(
        hub, "named_server_limit_per_user", "hub.namedServerLimitPerUser"
    )
    set_config_if_not_none(
        c.Spawner, "consecutive_failure_limit", "hub.consecutiveFailureLimit"
    )
    if value("debug.enabled"):
        hub.log_level = "DEBUG"
        c.Spawner.debug = True


def configure_database():
    kind = value("hub.db.type")
    password = get_secret_value("hub.db.password")
    if kind == "sqlite-pvc":
        # In the working directory of the image, where the volume is mounted.
        c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
    elif kind == "sqlite-memory":
        c.JupyterHub.db_url = "sqlite://"
    else:
        c.JupyterHub.db_url = value("hub.db.url")
    if password:
        os.environ["MYSQL_PWD" if kind == "mysql" else "PGPASSWORD"] = password


def configure_proxy():
    # The proxy has a pod of its own; its token comes in CONFIGPROXY_AUTH_TOKEN.
    c.JupyterHub.proxy_class = "configurable-http-proxy"
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"


def environment(variables):
    """Return KubeSpawner's environment: texts as they are, EnvVars with their name."""
    return {
        name: {"name": name, **v} if isinstance(v, dict) else str(v)
        for name, v in variables.items()
    }


def configure_spawner():
    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    spawner = c.KubeSpawner
    spawner.namespace = os.environ["POD_NAMESPACE"]
    image = value("singleuser.image")
    spawner.image = f"{image['name']}:{image['tag']}"
    spawner.common_labels = {
        "app": value("nameOverride") or value("Chart.Name"),
        "release": value("Release.Name"),
        "app.kubernetes.io/name": value("nameOverride") or value("Chart.Name"),
        "app.kubernetes.io/instance": value("Release.Name"),
        "app.kubernetes.io/managed-by": "kubespawner",
    }
    spawner.environment = environment(value("singleuser.extraEnv") or {})
    spawner.image_pull_secrets = [
        s if isinstance(s, str) else s["name"] for s in value("imagePullSecrets") or []
    ]
    for trait, key in {
        "image_pull_policy": "image.pullPolicy",
        "cmd": "cmd",
        "default_url": "defaultUrl",
        "start_timeout": "startTimeout",
        "uid": "uid",
        "fs_gid": "fsGid",
        "service_account": "serviceAccountName",
        "allow_privilege_escalation": "allowPrivilegeEscalation",
        "events_enabled": "events",
        "extra_labels": "extraLabels",
        "extra_annotations": "extraAnnotations",
        "node_selector": "nodeSelector",
        "tolerations": "extraTolerations",
        "cpu_limit": "cpu.limit",
        "cpu_guarantee": "cpu.guarantee",
        "mem_limit": "memory.limit",
        "mem_guarantee": "memory.guarantee",
        "extra_resource_limits": "extraResource.limits",
        "extra_resource_guarantees": "extraResource.guarantees",
        "profile_list": "profileList",
    }.items():
        set_config_if_not_none(spawner, trait, f"singleuser.{key}")


def configure_pod_security():
    # As much of Kubernetes' restricted profile as the values leave room for;
    # hub.config.KubeSpawner has the last word.
    spawner = c.KubeSpawner
    pod = {"seccompProfile": {"type": "RuntimeDefault"}}
    if value("singleuser.uid"):
        pod["runAsNonRoot"] = True
    spawner.pod_security_context = pod
    if not value("singleuser.allowPrivilegeEscalation"):
        spawner.container_security_context = {"capabilities": {"drop": ["ALL"]}}


def configure_homes():
    storage = value("singleuser.storage")
    volumes = list(storage.get("extraVolumes") or [])
    mounts = list(storage.get("extraVolumeMounts") or [])
    if storage["type"] == "dynamic":
        dynamic = storage["dynamic"]
        spawner = c.KubeSpawner
        spawner.storage_pvc_ensure = True
        spawner.storage_capacity = storage["capacity"]
        spawner.storage_extra_labels = storage.get("extraLabels") or {}
        spawner.storage_access_modes = dynamic["storageAccessModes"]
        if dynamic.get("storageClass") is not None:
            spawner.storage_class = dynamic["storageClass"]
        if dynamic.get("pvcNameTemplate"):
            spawner.pvc_name_template = dynamic["pvcNameTemplate"]
        # KubeSpawner fills in the braces, in volumes as in names.
        home = dynamic["volumeNameTemplate"]
        volumes.insert(
            0, {"name": home, "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
        )
        mounts.insert(0, {"name": home, "mountPath": storage["homeMountPath"]})
    c.KubeSpawner.volumes = volumes
    c.KubeSpawner.volume_mounts = mounts


def culler():
    """Return the service that stops idle servers, and the role it needs."""
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    command = [
        sys.executable,
        "-m",
        "jupyterhub_idle_culler",
        f"--url=http://localhost:8081{BASE_URL}hub/api",
        f"--timeout={value('cull.timeout')}",
        f"--cull-every={value('cull.every')}",
        f"--concurrency={value('cull.concurrency')}",
        f"--max-age={value('cull.maxAge')}",
    ]
    if not value("cull.adminUsers"):
        command.append("--cull-admin-users=false")
    if value("cull.removeNamedServers"):
        command.append("--remove-named-servers")
    if value("cull.users"):
        command.append("--cull-users")
        scopes.append("admin:users")
    name = "jupyterhub-idle-culler"
    return (
        {"name": name, "command": command},
        {"name": name, "services": [name], "scopes": scopes},
    )


def configure_services():
    services, roles = [], []
    if value("cull.enabled"):
        service, role = culler()
        services.append(service)
        roles.append(role)
    for key, given in (value("hub.services") or {}).items():
        service = {"name": key, **(given or {})}
        service.pop("apiToken", None)
        service["api_token"] = get_secret_value(f"hub.services.{key}.apiToken")
        services.append(service)
    for key, role in (value("hub.loadRoles") or {}).items():
        roles.append({"name": key, **role})
    c.JupyterHub.services = services
    c.JupyterHub.load_roles = roles


def configure_from_values():
    # These come from the Secret, where generated ones are kept.
    seeded = {
        "JupyterHub": {"cookie_secret", "proxy_auth_token"},
        "ConfigurableHTTPProxy": {"auth_token"},
        "CryptKeeper": {"keys"},
    }
    for section, traits in (value("hub.config") or {}).items():
        kept = seeded.get(section, set())
        c[section].update({k: v for k, v in (traits or {}).items() if k not in kept})


configure_hub()
configure_database()
configure_proxy()
configure_spawner()
configure_pod_security()
configure_homes()
configure_services()
configure_from_values()

for _name, _code in sorted((value("hub.extraConfig") or {}).items()):
    exec(compile(_code, f"hub.extraConfig.{_name}", "exec"))
