"""The mail feature: the SMTP client that jobs send through, and the dev inbox."""
