"""What every Telecine process has in common: settings, logs, /metrics and /healthz, background parts, signals."""
