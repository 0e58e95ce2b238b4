"""From here to machines elsewhere: launchers that build commands as data, print them or run them. See README.md."""
