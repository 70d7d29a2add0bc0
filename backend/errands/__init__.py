"""Work on datasets that is asked for over HTTP: each request is an errand, done by a child process, one at a time."""
