"""`strop demo`: two nights on a real small model, with a made-up person who rates and corrects its answers."""
