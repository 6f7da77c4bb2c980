"""The keys of tenants, made of the collector's secrets. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from collector.whatsapp.event import TenantKeys
from collector.whatsapp.ids import ids_key
from collector.whatsapp.tokens import tenant_key
from schemas.settings import Settings

_TENANTS_MAX: Final = 10_000


class SecretKeyring:
    """handshake_secrets: that which mints first, then the one before; ids_secret: None without."""

    def __init__(self, handshake_secrets: Sequence[bytes], ids_secret: bytes | None) -> None:
        self._handshake_secrets = handshake_secrets
        self._ids_secret = ids_secret
        self.of_tenant = lru_cache(maxsize=_TENANTS_MAX)(self._make)

    def _make(self, tenant_id: str) -> TenantKeys:
        tokens = [tenant_key(secret, tenant_id) for secret in self._handshake_secrets]
        return TenantKeys(tokens, None if self._ids_secret is None else ids_key(self._ids_secret, tenant_id))


def keyring_of(settings: Settings) -> SecretKeyring:
    """That of the settings."""
    secrets = (settings.collector_handshake_secret, settings.collector_handshake_secret_before)
    given = [secret.get_secret_value().encode() for secret in secrets]
    ids_secret = settings.collector_whatsapp_ids_secret.get_secret_value().encode()
    return SecretKeyring([secret for secret in given if secret], ids_secret or None)
