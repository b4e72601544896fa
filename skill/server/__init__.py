"""The front door, `strop serve`: one address for agents that always answers with the live version.

agent ─▶ guard ─▶ forward ─▶ pointer ─▶ backend (llama-server child, or an immutable Ollama tag)
                     │           ▲
                     ▼           └── follow: the live row of state.db
                 recording ─▶ spool ─▶ ledger          probation: watches, and rolls back
"""
