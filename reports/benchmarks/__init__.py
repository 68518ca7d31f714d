"""Reports whose numbers are times: each is measured in a process of its own, on a machine that is watched."""
