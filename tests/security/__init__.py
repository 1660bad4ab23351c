"""The promises of docs/security.md."""
