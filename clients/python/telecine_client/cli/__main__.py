"""`python -m telecine_client.cli` is `telecine`."""

from __future__ import annotations

from telecine_client.cli import main

main()
