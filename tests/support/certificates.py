"""Certificates made for one test, by an authority nobody else trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The certificate at *chain* with its *key*; who trusts the authority at *authority* trusts it."""

    authority: Path
    chain: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        """Settings of a server that shows it."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)
        return context

    def trust(self) -> ssl.SSLContext:
        """Settings of a client that trusts its authority and nobody else."""
        return ssl.create_default_context(cafile=str(self.authority))


def make_certificates(folder: Path, **names: tuple[str, ...]) -> dict[str, Certificate]:
    """One for each keyword, which is its common name, good for those host names and addresses; of one authority."""
    issuer = trustme.CA()
    authority = folder / "ca.pem"
    issuer.cert_pem.write_to_path(authority)
    made = {}
    for common_name, identities in names.items():
        issued = issuer.issue_cert(*identities, common_name=common_name)
        certificate = Certificate(
            authority=authority, chain=folder / f"{common_name}.pem", key=folder / f"{common_name}.key"
        )
        certificate.chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(certificate.key)
        made[common_name] = certificate
    return made
