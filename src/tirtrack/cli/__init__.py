"""One file a command, thin: parse, call the library, print."""
