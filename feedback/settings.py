"""The settings of the feedback stage: the `[feedback]` table of strop.toml."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, field_validator

from strop.errors import UsageError
from strop.feedback.scrub import PHONE_REGIONS, Scrubber


class ScrubSettings(BaseModel):
    """What is taken out of every text before it is stored: the `[feedback.scrub]` table of strop.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="false stores texts as they come")
    own: dict[str, str] = Field({}, description="patterns of your own: STUDENT = 'S\\d{8}' makes <STUDENT_1>")
    phone_regions: tuple[str, ...] = Field(PHONE_REGIONS, description="whose national phone numbers are looked for")

    @field_validator("own")
    @classmethod
    def _readable(cls, own: dict[str, str]) -> dict[str, str]:
        _try(own, PHONE_REGIONS)
        return own

    @field_validator("phone_regions")
    @classmethod
    def _known(cls, phone_regions: tuple[str, ...]) -> tuple[str, ...]:
        _try({}, phone_regions)
        return phone_regions

    def scrubber(self) -> Scrubber | None:
        """What every door to the ledger opens it with; None where nothing is to be taken out."""
        return Scrubber(self.own, phone_regions=self.phone_regions) if self.enabled else None


class FeedbackSettings(BaseModel):
    """What counts as the owner's word, and how the owner's reactions are shared between training and the gate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owners: tuple[str, ...] = Field(("owner",), description="the users whose reactions train the model")
    limit_chars: int | None = Field(None, ge=1, description="longer rows (prompt and completion) are left out")
    gate_prompts: int = Field(150, ge=0, description="until the gate holds this many prompts, every second one is its")
    gate_one_in: int = Field(5, ge=2, description="afterwards one in so many goes to the gate")
    cap_source_day: int = Field(5, ge=0, description="reactions of one person other than the owner that count a day")
    cap_conversation: int = Field(20, ge=1, description="rows of one conversation, the newest")
    cap_cluster: int = Field(20, ge=1, description="rows of one group of near-duplicate prompts, the newest")
    standing_share: float = Field(0.5, ge=0, lt=1, description="the most of a night's rows that are standing data")
    half_life_days: float = Field(
        30.0, gt=0, description="where there are more rows than a night has hours for, a word counts half after so long"
    )
    scrub: ScrubSettings = ScrubSettings.model_validate({})


def _try(own: Mapping[str, str], phone_regions: Sequence[str]) -> None:
    """Let pydantic say what a scrubber would refuse."""
    try:
        Scrubber(own, phone_regions=phone_regions)
    except UsageError as error:
        raise ValueError(f"should be readable: {error} ({error.hint})") from None
