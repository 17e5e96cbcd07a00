"""What the two web servers share: request bodies, security, errors, and the server itself."""
