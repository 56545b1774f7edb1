from boxloop.review.fiftyone.guard.access import Access, Keys


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_keys_are_long_and_never_the_same():
    made = [Keys.make() for _ in range(20)]
    assert len({key for keys in made for key in (keys.secret, keys.ticket)}) == 40
    assert min(len(keys.secret) for keys in made) >= 43  # 32 bytes
    assert Keys.make("a password").password == "a password"


def test_the_secret_works_again_and_again():
    keys = Keys.make()
    access = Access(keys)
    cookie = access.exchange(keys.secret)
    assert cookie is not None
    assert access.exchange(keys.secret) == cookie
    assert access.admits(["something else", cookie])
    assert cookie not in (keys.secret, keys.ticket)


def test_what_is_wrong_opens_nothing():
    keys = Keys.make()
    access = Access(keys)
    for token in ("", "x", keys.secret[:-1], keys.secret + "x", "ü", "\ud800", "0" * 100_000):
        assert access.exchange(token) is None
    for cookies in ([], [""], ["x"], [keys.secret], [keys.ticket]):
        assert not access.admits(cookies)


def test_sessions_do_not_open_each_other():
    mine, other = Keys.make(), Keys.make()
    cookie = Access(mine).exchange(mine.secret)
    access = Access(other)
    assert access.exchange(mine.secret) is None
    assert not access.admits([cookie])


def test_a_ticket_works_once_and_a_second_use_closes_what_it_opened():
    keys = Keys.make()
    access = Access(keys)
    first, secret = access.exchange(keys.ticket), access.exchange(keys.secret)
    assert access.admits([first])
    assert access.exchange(keys.ticket) is None
    assert not access.admits([first])  # whoever had it: one of the two was not the reviewer
    assert access.admits([secret])


def test_a_ticket_s_cookie_is_worth_nothing_before_the_ticket_was_used():
    keys = Keys.make()
    access = Access(keys)
    assert not access.admits([access._by_ticket])


def test_a_password_gives_a_cookie():
    access = Access(Keys.make("long enough"))
    assert access.asks_for_password
    assert access.log_in("wrong", "192.0.2.1") is None
    cookie = access.log_in("long enough", "192.0.2.1")
    assert access.admits([cookie])


def test_without_a_password_none_is_right():
    access = Access(Keys.make())
    assert not access.asks_for_password
    for password in ("", "None", "long enough"):
        assert access.log_in(password, "192.0.2.1") is None
    assert not access.admits([access._by_password])


def test_who_guesses_waits_and_others_do_not():
    clock = Clock()
    access = Access(Keys.make("long enough"), clock)
    for _ in range(5):
        assert access.log_in("wrong", "192.0.2.1") is None
    assert access.must_wait("192.0.2.1")
    assert access.log_in("long enough", "192.0.2.1") is None
    assert access.log_in("long enough", "192.0.2.2") is not None
    clock.now += 31
    assert access.log_in("long enough", "192.0.2.1") is not None
