"""How the engine is asked over a network; each protocol only translates between its wire and the engine's requests."""
