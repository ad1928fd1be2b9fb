"""FFmpeg as processes: finding it, running it, reading what it says, checking what it made."""
