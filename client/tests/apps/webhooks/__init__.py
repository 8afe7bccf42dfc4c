"""Orders are told to another service, and events of a payment service come in: values of many types travel."""
