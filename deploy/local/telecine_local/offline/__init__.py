"""What needs no scheduler: the worker's own code, used on this machine to look at files and to plan jobs."""
