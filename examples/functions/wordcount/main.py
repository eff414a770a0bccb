"""A function of the demo: it counts the words of a text."""

import re


def handle(event, context):
    text = event.decode("utf-8") if isinstance(event, bytes) else event
    counts = {}
    for word in re.findall(r"[a-z]+", text.lower()):
        counts[word] = counts.get(word, 0) + 1
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]
    return {"words": sum(counts.values()), "distinct": len(counts), "top": top}
