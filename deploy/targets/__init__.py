"""What serves a version: the embedded llama-server (`llamacpp`) or an Ollama (`ollama`), alike to all others."""
