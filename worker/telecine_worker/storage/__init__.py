"""Where bytes come from and go to: the only code that touches paths which callers name."""
