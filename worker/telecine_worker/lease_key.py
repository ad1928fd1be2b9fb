"""What names a lease."""

from __future__ import annotations

from dataclasses import dataclass

from telecine.v1 import lease_service_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseKey:
    """A job and the token of one of its leases."""

    tenant: str
    job_id: str
    token: int

    @classmethod
    def of(cls, ref: pb.LeaseRef) -> LeaseKey:
        """From the message."""
        return cls(tenant=ref.tenant, job_id=ref.job_id, token=ref.token)

    @property
    def ref(self) -> pb.LeaseRef:
        """As the message."""
        return pb.LeaseRef(tenant=self.tenant, job_id=self.job_id, token=self.token)

    @property
    def job(self) -> tuple[str, str]:
        """The job alone, whatever the token."""
        return self.tenant, self.job_id
