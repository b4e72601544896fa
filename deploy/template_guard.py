"""The comment before a build's chat template, which keeps Ollama from taking that template for one of its own.

When a model is made of a GGUF, Ollama compares its Jinja template with a list of some forty by Levenshtein distance;
below 100 it attaches a Go template of its own, which then answers in place of the one that the model was trained with
(`template.Named`, https://github.com/ollama/ollama/blob/main/template/template.go). A Jinja comment renders nothing and
counts in that distance.

How far it takes us: on the way to a text without carets each caret has to be deleted or replaced, and an edit does that
to one of them. So 128 carets are at least 128 edits from every template that has none, whatever else is on the list,
now or later; chat templates have no use for a caret.

Where it goes: into every build, when it is built, for every target. The gate judges the file that ships, one version
has one SHA-256 wherever it is served (an export, a stick, another `target` in the settings), and the text is always the
same, so equal inputs still give equal bytes. What the template is, to the certificate and to all that compares it with
the training's, is what comes after the comment: `plain`. The base's own GGUF is never touched.

No word of the comment is one that servers look for in a template (tools, thinking, special tokens).
"""

GUARD = "{# Strop: what follows is the chat template of the training, word for word. " + "^" * 128 + " #}"


def guarded(jinja: str) -> str:
    """A chat template with the comment before it; safe to repeat.

    Renders the same, token by token: nothing is stripped around the comment. Where the template begins with white space
    the comment gets a line of its own, whose end goes with it (`trim_blocks`, with which chat templates are rendered),
    so that the first line of the template is still the beginning of a line.
    """
    if jinja.startswith(GUARD):
        return jinja
    return GUARD + ("\n" if jinja[:1].isspace() else "") + jinja


def plain(jinja: str) -> str:
    """The inverse of `guarded`; a template without the comment is given back as it is."""
    return jinja.removeprefix(GUARD).removeprefix("\n") if jinja.startswith(GUARD) else jinja
