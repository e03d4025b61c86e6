"""Public fakes for the tests of the lab and of its extensions: small real servers, never mocks."""
