"""What is secret: references to secrets, what looks like a credential, and masking."""
