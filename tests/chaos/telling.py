"""Operations and messages as one line each, for people."""

from __future__ import annotations

from google.protobuf.text_format import MessageToString

from tests.chaos.history import End, Entry, Message, Position, Publish, Seen, Stream


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


def of_publish(publish: Publish, signal_id: str = "") -> str:
    """A request to publish; of its signals the one that matters, else how many."""
    places = zip(publish.signals, publish.sequences or [0] * len(publish.signals), strict=False)
    sequences = [sequence for sent, sequence in places if sent.signal_id == signal_id or not signal_id]
    what = signal_id or f"{len(publish.signals)} signals, first {publish.signals[0].signal_id}"
    return (
        f"{publish.invoked:.3f} to {publish.ended:.3f}  {publish.client} on {publish.replica}: publish {what}: "
        f"{publish.outcome} {publish.reason}{_ranges(sequences) if publish.sequences else ''}"
        f"{_duplicates(publish, signal_id)}"
    )


def of_end(end: End) -> str:
    """A call of UpdateSignalState."""
    answer = end.sequence or end.reason
    return (
        f"{end.invoked:.3f} to {end.ended:.3f}  {end.client} on {end.replica}: end {end.signal_id} as {end.state}: "
        f"{end.outcome} {answer}"
    )


def of_entry(entry: Entry) -> str:
    """A row of the log."""
    return f"log  {entry.sequence} {entry.kind} {entry.signal_id}"


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
    return f"delivered  {seen.sequence} {seen.kind} {seen.signal_id}"


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


def _duplicates(publish: Publish, signal_id: str) -> str:
    of_ids = zip(publish.signals, publish.duplicates, strict=False)
    count = sum(duplicate for sent, duplicate in of_ids if sent.signal_id == signal_id or not signal_id)
    return f" ({'duplicate' if signal_id else f'{count} duplicates'})" if count else ""
