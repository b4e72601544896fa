"""From an adapter to users: the file that is served, its certificate, its versions, and the targets that serve it."""
