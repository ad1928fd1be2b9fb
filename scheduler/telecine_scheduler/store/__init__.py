"""Redis, and only Redis: keys, scripts, and how they are sent."""
