"""What a hybrid run is: roles, data, the session and its hosts, the ledger, discovery, options."""
