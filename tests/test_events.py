from nagsdk.events import Notice, heard_by, ignore, send


def test_the_innermost_listener_hears_what_is_sent():
    outer, inner = [], []
    send(Notice("nobody"))
    with heard_by(outer.append):
        send(Notice("first"))
        with heard_by(inner.append):
            send(Notice("second"))
        with heard_by(ignore):  # the default of `on_event` silences nobody
            send(Notice("third"))
    send(Notice("nobody"))
    assert [event.text for event in outer] == ["first", "third"] and [event.text for event in inner] == ["second"]
