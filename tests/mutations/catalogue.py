"""All mutations."""

from __future__ import annotations

from mutations.own_defects import OWN_DEFECTS
from mutations.reference_defects import REFERENCE_DEFECTS

MUTATIONS = (*REFERENCE_DEFECTS, *OWN_DEFECTS)
