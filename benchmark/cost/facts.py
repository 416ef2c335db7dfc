"""What a record says of cost. Free of torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bill(_Part):
    """What is paid in one way of serving: when a question comes, and to keep a user.

    Attributes:
        flops: Before the first token of the answer.
        bytes_per_user: Kept between questions.
    """

    flops: float
    bytes_per_user: float = 0.0


class Cost(_Part):
    """What training and one answer cost; None where there is nothing of the kind, or no look.

    Arithmetic is that of products of matrices and attention, multiply-add = 2, causal attention as
    half, a mean over `metered_users`. `prompt_flops` is all that is spent to read the question,
    `encoder_flops` the part of it outside the language model.

    Attributes:
        llm_input_tokens: Tokens that the language model reads before it answers, mean over users.
        llm_input_tokens_max: The most of one user.
        dropped_events: Events left out for want of positions, mean over users.
        truncated_users: Share of users whose history lost events so.
        user_encoder_flops: The encoder's.
        projector_flops: The projector's.
        encoder_flops: Both.
        llm_prompt_flops: The language model's, fusion included, on what stands before an answer.
        prompt_flops: `encoder_flops + llm_prompt_flops`.
        decode_flops: The language model's on the answer: nodes of the trie, or tokens of a text.
        ranking_flops: Scores of candidates outside of modules.
        answer_flops: All of it.
        metered_users: Users whose answers were metered and timed.
        kv_cache_bytes: Keys and values that the language model keeps once the question is read.
        answer_memory_bytes: Most memory that one answer takes beside the weights.
        latency_seconds: Median of one user at a time.
        latency_seconds_p95: 95th percentile, where there are 20 runs or more.
        latency_runs: Answers timed.
        throughput_per_second: Answers a second at the best batch size.
        throughput_batch: That size.
        training_flops: Forward and backward of every stage.
        training_seconds: Of every stage.
        billed: Ways to be billed by name: `at_question`, `stored`, `new_event`; of next items.
        failed: Why nothing could be measured, "" where it could.
    """

    llm_input_tokens: float | None = None
    llm_input_tokens_max: int | None = None
    dropped_events: float = 0.0
    truncated_users: float = 0.0
    user_encoder_flops: float | None = None
    projector_flops: float | None = None
    encoder_flops: float | None = None
    llm_prompt_flops: float | None = None
    prompt_flops: float | None = None
    decode_flops: float | None = None
    ranking_flops: float | None = None
    answer_flops: float | None = None
    metered_users: int = 0
    kv_cache_bytes: float | None = None
    answer_memory_bytes: int | None = None
    latency_seconds: float | None = None
    latency_seconds_p95: float | None = None
    latency_runs: int = 0
    throughput_per_second: float | None = None
    throughput_batch: int | None = None
    training_flops: float | None = None
    training_seconds: float | None = None
    billed: dict[str, Bill] = {}
    failed: str = ""
