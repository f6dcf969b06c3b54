"""A Slack workspace on loopback: Web API, Socket Mode, and a control API for the page and the tests."""
