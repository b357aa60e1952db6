"""Stand-ins for the servers we talk to, used by the tests of every room."""
