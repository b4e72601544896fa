"""The gate's settings, as strop.toml's [gate] section has them."""

from collections import Counter

from pydantic import BaseModel, ConfigDict, Field

from strop.evaluation.results import Policy

_SHIPPED = Policy()


class GateSettings(BaseModel):
    """What a candidate must prove. Shares and margins are fractions; each name is explained where it is used."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    level: float = Field(_SHIPPED.level, gt=0, le=0.2, description="share of promotions that may be no better")
    min_wanted_clusters: int = Field(_SHIPPED.min_wanted_clusters, ge=6, description="corrections a test needs")
    min_judged_clusters: int = Field(
        _SHIPPED.min_judged_clusters, ge=6, description="prompts settled blind by a person, enough by themselves"
    )
    min_fresh_clusters: int = Field(
        _SHIPPED.min_fresh_clusters, ge=1, description="corrections that no earlier test used, which a test needs"
    )
    ladder_step: float = Field(_SHIPPED.ladder_step, ge=0, le=5, description="standard errors that a gain must exceed")
    closeness_epsilon: float = Field(_SHIPPED.closeness_epsilon, ge=0, lt=1, description="a smaller change is none")
    specificity_tolerance: float = Field(
        _SHIPPED.specificity_tolerance, ge=0, le=1, description="nats a token that specificity may fall by"
    )
    skill_margin: float = Field(_SHIPPED.skill_margin, gt=0, le=0.2, description="skill that may be lost")
    suite_alpha: float = Field(
        _SHIPPED.suite_alpha, gt=0, le=0.2, description="for all suites together: level at which one has fallen"
    )
    suite_fall: float = Field(_SHIPPED.suite_fall, ge=0, le=0.5, description="what any suite may fall by")
    suite_budget: int | None = Field(
        _SHIPPED.suite_budget, ge=30, description="skill items a night asks at most; all without it"
    )
    probe_budget: int | None = Field(
        _SHIPPED.probe_budget, ge=10, description="probes of each suite that a night asks at most; all without it"
    )
    min_skill_items: int = Field(_SHIPPED.min_skill_items, ge=30, description="skill items a test needs")
    min_skill_clusters: int = Field(_SHIPPED.min_skill_clusters, ge=10, description="templates they must come from")
    min_never_items: int = Field(_SHIPPED.min_never_items, ge=10, description="answers that each veto must see")
    max_error_share: float = Field(_SHIPPED.max_error_share, ge=0, le=0.05, description="items that may fail")
    veto_alpha: float = Field(
        _SHIPPED.veto_alpha, gt=0, le=0.2, description="level at which bad answers are more than they were"
    )
    answer_tokens: int = Field(160, ge=16, le=4096, description="longest answer to a held-out prompt, in tokens")

    def unreachable(self) -> str:
        """Why no night could be decided under these settings, in a sentence; empty where one could.

        Asked before a night and by the doctor, and not where the settings are read: a model that is live is served and
        rolled back whatever the gate asks of the next one.
        """
        from strop.evaluation import probes, suites

        for asked, needed in (("suite_budget", "min_skill_items"), ("probe_budget", "min_never_items")):
            budget, least = getattr(self, asked), getattr(self, needed)
            if budget is not None and budget < least:
                return f"gate.{asked} = {budget} is below gate.{needed} = {least}: no night could be decided"
        items = suites.within(suites.load(), self.suite_budget)
        found = {"min_skill_items": len(items), "min_skill_clusters": len({item.cluster for item in items})}
        counts = Counter(probe.suite for probe in probes.within(probes.shipped(), self.probe_budget, tools=False))
        found["min_never_items"] = min(counts.values())
        for needed, there in found.items():
            if getattr(self, needed) > there:
                return f"gate.{needed} = {getattr(self, needed)} is more than a night asks ({there}): lower it"
        return ""

    def policy(self) -> Policy:
        """What `decide` takes."""
        return Policy(**self.model_dump(exclude={"answer_tokens"}))
