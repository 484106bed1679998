"""What a system is told about tokens that this installation signs itself."""

from typing import Annotated

from backstay.core.process_settings import ProcessSettings
from backstay.core.settings import Option, Secret


class TokenSettings(ProcessSettings, frozen=True):
    """The base of settings of systems that judge tokens when they stand alone. Without a secret
    such a system listens on loopback only."""

    jwt_secret: Annotated[
        Secret, Option("HS256 secret; unset: loopback only", ("JWT_SECRET",), "jwtSecret")
    ] = Secret("")
    jwt_issuer: Annotated[
        str, Option("issuer that tokens must name", ("JWT_ISSUER",), "jwtIssuer")
    ] = "backstay"
    jwt_audience: Annotated[
        str, Option("audience that tokens must name", ("JWT_AUDIENCE",), "jwtAudience")
    ] = "backstay"
