"""Kinds of tasks: from a spec and what its inputs are to a plan. Pure: nothing here touches a file or a process."""
