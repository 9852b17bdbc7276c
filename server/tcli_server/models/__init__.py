"""Models in memory: the registry of names and versions, a loaded model, its loading, reloading and unloading."""
