"""`codeq install`: the files that put a queue on Docker or Kubernetes, and what to type next."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from backstay import __version__


class Size(msgspec.Struct, frozen=True):
    """What a server of this size asks for. A queue on SQLite is one process, whatever its size;
    `replicas` are for one whose store is Redis or Valkey."""

    cpu: str
    memory: str
    disk: str
    replicas: int


SIZES: Mapping[str, Size] = {
    "dev": Size("100m", "256Mi", "2Gi", 1),
    "small": Size("250m", "512Mi", "20Gi", 2),
    "medium": Size("500m", "1Gi", "50Gi", 3),
    "large": Size("1", "2Gi", "100Gi", 5),
}


@click.command("install")
@click.option(
    "--target", type=click.Choice(["docker", "kubernetes"]), default="docker", show_default=True
)
@click.option("--size", type=click.Choice([*SIZES]), default="dev", show_default=True)
@click.option("--release", default="codeq", show_default=True, help="Helm's name for it.")
@click.option("--namespace", default="codeq", show_default=True)
@click.option("--chart", default="./helm/codeq", show_default=True)
@click.option("--output-dir", default="codeq-install", show_default=True, metavar="DIR")
@click.option("--image", default=f"backstay:{__version__}", show_default=True)
@click.option("--domain", default="", help="A host name, for an Ingress.")
@click.option("--redis-addr", default="", metavar="HOST:PORT", help="A store outside.")
@click.option("--identity-jwks-url", default="", metavar="URL", help="Producers' keys.")
@click.option(
    "--identity-service-url", default="", metavar="URL", help="Producers' issuer, keys below it."
)
@click.option("--identity-issuer", default="", metavar="URL", help="Producers' issuer.")
@click.option("--worker-jwks-url", default="", metavar="URL", help="Workers' keys.")
@click.option("--worker-issuer", default="", metavar="URL", help="Workers' issuer.")
@click.option("--worker-audience", default="codeq-worker", show_default=True)
@click.option("--webhook-hmac-secret", default="", help="[a new one]")
@click.option("--no-prompt", is_flag=True, hidden=True, expose_value=False, help="As always.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def install(
    target: str,
    size: str,
    release: str,
    namespace: str,
    chart: str,
    output_dir: str,
    image: str,
    domain: str,
    redis_addr: str,
    identity_jwks_url: str,
    identity_service_url: str,
    identity_issuer: str,
    worker_jwks_url: str,
    worker_issuer: str,
    worker_audience: str,
    webhook_hmac_secret: str,
    force: bool,
) -> None:
    """Write compose.yaml and .env, or Helm values, and say what to type next."""
    import secrets

    if identity_service_url:
        service = identity_service_url.rstrip("/")
        identity_jwks_url = identity_jwks_url or f"{service}/v1/.well-known/jwks.json"
        identity_issuer = identity_issuer or service
    issuers = {
        "identityJwksUrl": identity_jwks_url,
        "identityIssuer": identity_issuer,
        "workerJwksUrl": worker_jwks_url,
        "workerIssuer": worker_issuer,
        "workerAudience": worker_audience,
    }
    config = {"env": "dev" if size == "dev" else "production", "redisAddr": redis_addr, **issuers}
    config = {name: text for name, text in config.items() if text}
    if size != "dev":
        _require(issuers)
    private = {"webhookHmacSecret": webhook_hmac_secret or secrets.token_hex(32)}
    if not worker_jwks_url and not identity_jwks_url:
        # Behind a published port nobody is local: without an issuer tokens are of this secret.
        private["jwtSecret"] = secrets.token_hex(32)
    if target == "docker":
        files = docker(config, private, image, SIZES[size])
        then = f"docker compose --project-directory {output_dir} up --detach"
    else:
        files = kubernetes(config, private, image, SIZES[size], domain)
        then = (
            f"helm upgrade --install {release} {chart} --namespace {namespace} --create-namespace"
            f" --values {output_dir}/values.yaml"
        )
    _write(Path(output_dir), files, force=force)
    for name in files:
        click.echo(f"[OK] {output_dir}/{name}")
    click.echo(f"next: {then}")
    if "jwtSecret" in private:
        where = ".env" if target == "docker" else "values.yaml"
        click.echo(
            f"tokens: with JWT_SECRET from {output_dir}/{where} in the environment,"
            " backstay token --scope codeq:admin"
        )


def docker(
    config: Mapping[str, str], private: Mapping[str, str], image: str, size: Size
) -> dict[str, str]:
    """compose.yaml, and .env with what the server reads from its environment."""
    service: dict[str, Any] = {
        "image": image,
        "command": ["codeq-server", "--listen", "0.0.0.0:8080", "--data", "/data"],
        "env_file": ".env",
        "ports": ["127.0.0.1:8080:8080"],
        "volumes": ["codeq-data:/data"],
        "restart": "unless-stopped",
        "mem_limit": size.memory.replace("Gi", "g").replace("Mi", "m"),
        "stop_grace_period": "30s",
    }
    whole = {"name": "codeq", "services": {"codeq": service}, "volumes": {"codeq-data": {}}}
    lines = [f"{_env_name(key)}={text}" for key, text in {**config, **private}.items()]
    # The port is published on this machine's loopback only: Prometheus needs no token.
    lines.append("METRICS_OPEN=true")
    return {"compose.yaml": _yaml(whole), ".env": "\n".join(lines) + "\n"}


def kubernetes(
    config: Mapping[str, str], private: Mapping[str, str], image: str, size: Size, domain: str
) -> dict[str, str]:
    """values.yaml for the chart; the secrets in it land in a Secret."""
    repository, _, tag = image.rpartition(":")
    asked = {"cpu": size.cpu, "memory": size.memory}
    whole: dict[str, Any] = {
        "image": {"repository": repository or tag, "tag": tag if repository else "latest"},
        "replicaCount": size.replicas if "redisAddr" in config else 1,
        "resources": {"requests": asked, "limits": {"memory": size.memory}},
        "persistence": {"enabled": "redisAddr" not in config, "size": size.disk},
        "config": dict(config),
        "secrets": {"enabled": True, **private},
    }
    if domain:
        whole["ingress"] = {"enabled": True, "host": domain}
    return {"values.yaml": _yaml(whole)}


def _require(issuers: Mapping[str, str]) -> None:
    """Outside dev the server refuses to start without them; better said now."""
    flags = {
        "identityJwksUrl": "--identity-jwks-url",
        "workerJwksUrl": "--worker-jwks-url",
        "workerIssuer": "--worker-issuer",
    }
    missing = [flag for name, flag in flags.items() if not issuers[name]]
    if missing:
        raise click.UsageError(f"a queue that is not for development needs {', '.join(missing)}")


def _write(folder: Path, files: Mapping[str, str], *, force: bool) -> None:
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise click.UsageError(f"{folder / there[0]} exists; --force replaces it")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.touch(mode=0o600)  # both kinds hold the secret
        path.chmod(0o600)
        path.write_text(text, encoding="utf-8")


def _env_name(key: str) -> str:
    """`workerJwksUrl` is WORKER_JWKS_URL in the environment."""
    return "".join(f"_{sign}" if sign.isupper() else sign for sign in key).upper()


def _yaml(value: object) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False)
