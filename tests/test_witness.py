"""What the library does is told to those who listen, and to nobody else."""

from earthlab import witness


def test_listeners_are_told_until_they_are_ignored():
    heard = []

    def listener(act, what):
        heard.append((act, what))

    witness.tell("asked", host="a.example.org")
    witness.listen(listener)
    witness.tell("asked", host="b.example.org")
    witness.ignore(listener)
    witness.tell("asked", host="c.example.org")
    assert heard == [("asked", {"host": "b.example.org"})]
