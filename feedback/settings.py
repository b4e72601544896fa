"""The settings of the feedback stage: the `[feedback]` table of strop.toml."""

from pydantic import BaseModel, ConfigDict, Field


class FeedbackSettings(BaseModel):
    """What counts as the owner's word, and how the owner's reactions are shared between training and the gate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owners: tuple[str, ...] = Field(("owner",), description="the users whose reactions train the model")
    limit_chars: int | None = Field(None, ge=1, description="longer rows (prompt and completion) are left out")
    gate_prompts: int = Field(150, ge=0, description="until the gate holds this many prompts, every second one is its")
    gate_one_in: int = Field(5, ge=2, description="afterwards one in so many goes to the gate")
