"""Telecine on one machine: Valkey, scheduler and workers as real processes."""
