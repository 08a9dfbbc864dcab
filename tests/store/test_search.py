"""Both databases are asked the same and held to the same answers."""

import random

import pytest
import sqlalchemy as sa

from gateway.errors import BadRequest
from gateway.store import folding
from gateway.store.database import Database
from gateway.store.search import Hit, Search
from gateway.store.stored import Draft
from gateway.store.tables import INDEX
from gateway.store.transcripts import Transcripts
from tests.postgres import Cluster
from tests.store.making import account, in_step, said, save

CORPUS = {
    "english": [
        "Welcome to the old lighthouse.",
        "It's a red kite, isn't it? 100% sure!",
        "over the harbour",
    ],
    "german": ["Über den Dächern der Stadt", "Die Straße ist naß, größer als gedacht", "Fußgängerübergang"],
    "russian": ["Добро пожаловать на маяк", "Ёлка и красный змей", "над тихой гаванью"],
    "chinese": ["你好世界，今天天气很好", "红色的风筝在港口上空", "谢谢大家"],
    "japanese": ["こんにちは世界", "赤い凧が港の上を飛んでいます", "カタカナとｶﾞﾗｽ"],
    "thai": ["สวัสดีครับ ยินดีต้อนรับ", "ว่าวสีแดงเหนือท่าเรือ"],
    "arabic": ["مرحبا بالعالم", "طائرة ورقية حمراء فوق الميناء"],
    "emoji": ["🎉🎉 party 🎉", "👩‍👩‍👧 family ❤️", "🇩🇪 flag"],
    "signs": ["a_b and a%b", r"back\slash and /slash", "c++ (x) * \" ' ; -- NEAR AND", "e\u0301tude café"],
}

# what is asked, and the segments that answer, transcripts in the order of the corpus
EXPECTED: list[tuple[str, list[tuple[str, int]]]] = [
    ("lighthouse", [("english", 0)]),
    ("LIGHT", [("english", 0)]),
    ("red kite", [("english", 1)]),
    ("kite red", [("english", 1)]),
    ('"kite red"', []),
    ('"red kite, is"', [("english", 1)]),
    ("isn't", [("english", 1)]),
    ("100%", [("english", 1)]),
    ("lighthouse harbour", []),  # in two segments
    ("über", [("german", 0), ("german", 2)]),
    ("ÜBER", [("german", 0), ("german", 2)]),
    ("u\u0308ber", [("german", 0), ("german", 2)]),
    ("strasse", [("german", 1)]),
    ("STRASSE größer", [("german", 1)]),
    ("маяк", [("russian", 0)]),
    ("КРАСНЫЙ", [("russian", 1)]),
    ("ёлка", [("russian", 1)]),
    ("世界", [("chinese", 0), ("japanese", 0)]),
    ("好", [("chinese", 0)]),
    ("今天天气", [("chinese", 0)]),
    ("风筝 港口", [("chinese", 1)]),
    ("港", [("chinese", 1), ("japanese", 1)]),
    ("こんに", [("japanese", 0)]),
    ("ガラス", [("japanese", 2)]),
    ("飛んで", [("japanese", 1)]),
    ("สวัสดี", [("thai", 0)]),
    ("แดง", [("thai", 1)]),
    ("ว่าว ท่าเรือ", [("thai", 1)]),
    ("مرحبا", [("arabic", 0)]),
    ("حمراء", [("arabic", 1)]),
    ("🎉", [("emoji", 0)]),
    ("🎉🎉", [("emoji", 0)]),
    ("👩‍👩‍👧", [("emoji", 1)]),
    ("❤", [("emoji", 1)]),
    ("🇩🇪", [("emoji", 2)]),
    ("a_b", [("signs", 0)]),
    ("a%b", [("signs", 0)]),
    ("axb", []),
    ("%", [("english", 1), ("signs", 0)]),
    ("_", [("signs", 0)]),
    ("%%", []),
    (r"k\s", [("signs", 1)]),
    ("/slash", [("signs", 1)]),
    ("c++", [("signs", 2)]),
    ("near and", [("signs", 2)]),
    ("*", [("signs", 2)]),
    ("--", [("signs", 2)]),
    ("étude", [("signs", 3)]),
    ("e", [("english", 0), ("english", 1), ("english", 2), ("german", 0), ("german", 1), ("german", 2),
           ("signs", 2), ("signs", 3)]),
    ("", []),
    ("   ", []),
    ('"', []),
    ('""', []),
]  # fmt: skip

NASTY = ["'", '"', '""', "\\", "%", "_", "*", "^", "NEAR(", "AND", "a AND", "OR OR", "NOT x", "(", ")", "{}:",
         "col:x", "-x", "+x", "\0", "\ud800", "'; DROP TABLE segments; --", "a" * 100_000, '"' * 999,
         "x " * 5000]  # fmt: skip


@pytest.fixture
async def search(database: Database) -> Search:
    """The corpus, the first of it the newest."""
    for name, texts in reversed(CORPUS.items()):
        await save(database, Draft(name), *texts)
    return Search(database)


def places(hits: "tuple[Hit, ...]") -> list[tuple[str, int]]:
    return [(hit.transcript_id, hit.number) for hit in hits]


async def test_every_script_is_searched_alike(search: Search) -> None:
    for query, expected in EXPECTED:
        assert places((await search.find(query)).items) == expected, query


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_without_the_index_the_same_is_found(
    search: Search, url: str, cluster: Cluster, kind: str
) -> None:
    cluster.sql(f"DROP INDEX {INDEX}; DROP EXTENSION pg_trgm", url.rpartition("/")[2])
    for query, expected in EXPECTED:
        assert places((await search.find(query)).items) == expected, query


async def test_a_hit_says_what_was_said_and_when(search: Search) -> None:
    (hit,) = (await search.find("kite")).items
    assert hit == Hit("english", None, 1, 2000, 3500, CORPUS["english"][1])


async def test_nothing_that_is_asked_is_wrong(search: Search) -> None:
    for query in NASTY:
        await search.find(query)
    assert places((await search.find("lighthouse")).items) == [("english", 0)]


async def test_what_is_found_is_what_stands_there(database: Database, search: Search) -> None:
    """Against the plainest search there is, with pieces of the texts and with any text."""
    texts = [
        (name, number, folding.fold(text))
        for name, some in CORPUS.items()
        for number, text in enumerate(some)
    ]
    chance, letters = random.Random(1), "".join(text for *_, text in texts)
    for _ in range(150):
        at, length = chance.randrange(len(letters)), chance.randrange(1, 7)
        query = " ".join(letters[at : at + length] for _ in range(chance.randrange(1, 3)))
        terms = folding.terms(query)
        expected = [
            (name, number) for name, number, text in texts if terms and all(term in text for term in terms)
        ]
        assert places((await search.find(query)).items) == expected, query


async def test_hits_come_in_pages(database: Database, search: Search) -> None:
    for query in ("e", "the", "世界"):
        whole = (await search.find(query)).items
        seen: list[Hit] = []
        after = None
        while True:
            page = await search.find(query, after=after, limit=2)
            seen += page.items
            after = page.next
            if after is None:
                break
        assert tuple(seen) == whole
    with pytest.raises(BadRequest):
        await search.find("e", after="nonsense")


async def test_an_owner_finds_what_is_theirs(database: Database, search: Search) -> None:
    me = await account(database, "me")
    await save(database, Draft("mine", owner=me), "a red kite and a café, 世界")
    for query in ("kite", "é", "世界"):
        assert places((await search.find(query, owner=me)).items) == [("mine", 0)]
        assert len((await search.find(query)).items) > 1


async def test_segments_are_found_as_soon_as_they_are_written(database: Database) -> None:
    transcripts, search = Transcripts(database), Search(database)
    info, first, second, _ = said("a red kite", "a quiet harbour")
    async with database.transaction() as tx:
        await transcripts.begin(tx, Draft("t"))
        await transcripts.append(tx, "t", [info, first])
    assert places((await search.find("kite")).items) == [("t", 0)]
    assert not (await search.find("harbour")).items
    try:
        async with database.transaction() as tx:
            await transcripts.append(tx, "t", [second])
            raise KeyError
    except KeyError:
        pass
    assert not (await search.find("harbour")).items  # undone with its row


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_text_that_is_changed_by_hand_is_found_as_it_is(database: Database, kind: str) -> None:
    await save(database, Draft("t"), "a red kite")
    async with database.transaction() as tx:
        await tx.execute(sa.text("UPDATE segments SET text = 'a blue whale', folded = 'a blue whale'"))
    assert places((await Search(database).find("whale")).items) == [("t", 0)]
    assert not (await Search(database).find("kite")).items
    await in_step(database)
