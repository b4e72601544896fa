"""What a person may set about the front door: the `[serve]` table of strop.toml."""

from pydantic import BaseModel, ConfigDict, Field


class ServeSettings(BaseModel):
    """The `[serve]` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="where it listens; anything but loopback is open to the network")
    port: int = Field(8766, ge=0, lt=65536, description="0 takes a free one")
    hosts: tuple[str, ...] = Field((), description="more names that clients may call it by (the Host header)")
    slots: int = Field(4, ge=1, le=64, description="answers that one llama-server writes at a time")
    context_tokens: int | None = Field(
        None, ge=256, description="context of each of them; none: 16,384, or what the model knows or memory holds"
    )
    threads: int | None = Field(None, ge=1, description="threads of one llama-server; none: the processor's cores")
    max_tokens: int = Field(2048, ge=1, description="the longest answer where the client names no limit")
    max_body_bytes: int = Field(8 << 20, ge=1024, description="the largest request")
    max_open: int = Field(256, ge=1, description="requests under way at once; more are sent away with 503")
    timeout_s: float = Field(600.0, gt=0, le=3600, description="the longest silence of the model's server")
    hold_s: float = Field(60.0, gt=0, le=600, description="how long a request waits for a server that is starting")
    probation_answers: int = Field(200, ge=1, description="a new version is watched for so many answers")
    probation_days: float = Field(7.0, gt=0, description="or for so long, whichever ends first")
    rollback: bool = Field(True, description="false: what probation finds is said and not acted upon")
