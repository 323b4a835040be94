"""Operations and messages as one line each, for people."""

from __future__ import annotations

from google.protobuf.text_format import MessageToString

from tests.chaos.history import End, Entry, Message, Position, Publish, Row, Seen, Stream


def of(what: Publish | End | Message | Stream) -> str:
    """Any of these."""
    match what:
        case Publish():
            return of_publish(what)
        case End():
            return of_end(what)
        case Stream():
            return of_stream(what)
    return of_message(what)


def of_publish(publish: Publish, key: str = "") -> str:
    """A request to publish; of its signals the one that matters, else how many."""
    places = zip(publish.items, publish.sequences or [0] * len(publish.items), strict=False)
    sequences = [sequence for sent, sequence in places if sent.key == key or not key]
    what = key or f"{len(publish.items)} of them, first {publish.items[0].key}"
    return (
        f"{publish.invoked:.3f} to {publish.ended:.3f}  {publish.client} on {publish.replica}: publish {what}: "
        f"{publish.outcome} {publish.reason}{_ranges(sequences) if publish.sequences else ''}"
        f"{_duplicates(publish, key)}"
    )


def of_end(end: End) -> str:
    """A call of UpdateSignalState."""
    answer = end.sequence or end.reason
    return (
        f"{end.invoked:.3f} to {end.ended:.3f}  {end.client} on {end.replica}: end {end.key} as {end.state}: "
        f"{end.outcome} {answer}"
    )


def of_entry(entry: Entry) -> str:
    """A row of the log."""
    return f"log  {entry.sequence} {entry.kind} {entry.key}"


def of_row(row: Row) -> str:
    """A row of a table that the log is about."""
    return f"table  {row.key} at {row.place}"


def of_stream(stream: Stream) -> str:
    """A subscription."""
    start = f"after {of_position(stream.after)}" if stream.after else stream.start
    wanted = MessageToString(stream.wanted, as_one_line=True)
    return f"{stream.opened:.3f}  {stream.subscriber} on {stream.replica}: subscribe {start} {{{wanted}}}"


def of_message(message: Message) -> str:
    """A message of a subscription."""
    events = [seen.sequence for seen in message.events]
    return f"{message.time:.3f}  {message.what} at {of_position(message.position)}{' with ' if events else ''}" + (
        _ranges(events)
    )


def of_seen(seen: Seen) -> str:
    """An event as it was delivered."""
    return f"delivered  {seen.sequence} {seen.kind} {seen.key}"


def of_position(position: Position) -> str:
    """A position, its epoch by the first characters."""
    return f"{position.epoch[:8]}/{position.sequence}"


def _ranges(sequences: list[int]) -> str:
    """5-7,9 for 5, 6, 7, 9; a long list is cut."""
    ranges: list[list[int]] = []
    for sequence in sequences:
        if ranges and sequence == ranges[-1][1] + 1:
            ranges[-1][1] = sequence
        else:
            ranges.append([sequence, sequence])
    text = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges[:8])
    return text + (",..." if len(ranges) > 8 else "")


def _duplicates(publish: Publish, key: str) -> str:
    of_ids = zip(publish.items, publish.duplicates, strict=False)
    count = sum(duplicate for sent, duplicate in of_ids if sent.key == key or not key)
    return f" ({'duplicate' if key else f'{count} duplicates'})" if count else ""
