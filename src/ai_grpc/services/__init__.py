"""The servicers: one noun a module, RPC to SQL, one thought a handler."""
