from earthlab.notice import Notice


def test_a_short_wait_says_nothing(capsys):
    with Notice(delay=60) as notice:
        notice.say("starting")
    assert capsys.readouterr().err == ""


def test_a_long_wait_says_each_line_once(capsys):
    with Notice(delay=0) as notice:
        for line in ("1/2", "1/2", "2/2"):
            notice.say(line)
    assert capsys.readouterr().err == "1/2\n2/2\n"
