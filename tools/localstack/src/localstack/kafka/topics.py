"""Turnpike's topics on a cluster: created as contracts lays them out, and left as they are where they exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from contracts.topic_layout import LAYOUTS, TopicLayout

_ANSWER_MS: Final = 20_000


async def create_topics(bootstrap: str, layouts: Sequence[TopicLayout] = LAYOUTS) -> list[str]:
    """Create the topics that are not there yet, and give their names.

    They get as many replicas as the layout says, or as there are brokers if those are fewer.

    Raises:
        KafkaError: the cluster does not answer, or refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_ANSWER_MS)
    await admin.start()
    try:
        brokers = len((await admin.describe_cluster())["brokers"])
        known = set(await admin.list_topics())
        new = [layout for layout in layouts if layout.name not in known]
        answer = await admin.create_topics(
            [
                NewTopic(
                    layout.name,
                    layout.partitions,
                    min(layout.replicas, brokers),
                    topic_configs=layout.settings(brokers),
                )
                for layout in new
            ]
        )
    finally:
        await admin.close()
    made = []
    for name, code, *reason in answer.topic_errors:
        error = for_code(code)
        if not code:
            made.append(name)
        elif error is not TopicAlreadyExistsError:  # the list of a moment ago may not have had it yet
            raise error(f"{name}: {reason[0] if reason else ''}")
    return made
