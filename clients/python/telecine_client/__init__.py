"""The client of Telecine."""
