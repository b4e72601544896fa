"""The training methods, each a small file on one of TRL's trainers: it says what the trainer is fed and told."""
