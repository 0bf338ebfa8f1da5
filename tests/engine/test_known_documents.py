"""Documents by their ids: the operator's list, and what clients register."""

import gc
import weakref
from hashlib import sha256

import pytest

from app.engine.documents import Documents, Operation
from app.engine.errors import RequestRefused
from app.engine.execution import Executor
from app.engine.known_documents import KnownDocuments
from app.errors import ConfigurationError
from tests.transports.graphql.sample import SCHEMA

HELLO = "query Hello { hello }"
COUNT = "query Count($n: Int!) { count(number: $n) }"
OTHER = "{ __typename }"


def hex_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def id_of(text: str) -> str:
    return f"sha256:{hex_of(text)}"


def known(listed: dict[str, str] | None = None, *, only_listed: bool = False) -> KnownDocuments:
    return KnownDocuments(Documents(SCHEMA), listed, only_listed=only_listed)


def refused(
    documents: KnownDocuments, query: str | None, document_id: str | None = None
) -> tuple[str, str]:
    with pytest.raises(RequestRefused) as failure:
        documents.prepare(query, None, document_id)
    (error,) = failure.value.errors
    return error["extensions"]["code"], error["message"]


NOT_FOUND = ("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")


def test_a_client_registers_a_text_with_its_hash_and_sends_the_hash_from_then_on() -> None:
    documents = known()
    assert refused(documents, None, id_of(HELLO)) == NOT_FOUND
    operation = documents.prepare(HELLO, None, id_of(HELLO))
    assert documents.prepare(None, None, id_of(HELLO)) is operation
    assert documents.prepare(None, "Hello", id_of(HELLO)) is operation
    assert documents.prepare(HELLO, None, id_of(HELLO)) is operation


def test_a_text_that_is_sent_without_a_hash_is_not_registered() -> None:
    documents = known()
    documents.prepare(HELLO)
    assert refused(documents, None, id_of(HELLO)) == NOT_FOUND
    # Nor is a text its own id.
    assert refused(documents, None, HELLO) == NOT_FOUND


@pytest.mark.parametrize(
    "document_id", [id_of(OTHER), hex_of(HELLO), "hello", f"sha256:{hex_of(HELLO).upper()}"]
)
def test_a_text_is_registered_under_its_own_hash_only(document_id: str) -> None:
    documents = known()
    code, message = refused(documents, HELLO, document_id)
    assert code == "BAD_USER_INPUT"
    assert document_id[:40] in message
    assert id_of(HELLO) in message
    assert refused(documents, None, document_id) == NOT_FOUND


@pytest.mark.parametrize(
    ("text", "code"), [("{", "GRAPHQL_PARSE_FAILED"), ("{ no }", "GRAPHQL_VALIDATION_FAILED")]
)
def test_a_text_that_cannot_be_executed_is_not_registered(text: str, code: str) -> None:
    documents = known()
    assert refused(documents, text, id_of(text))[0] == code
    assert refused(documents, None, id_of(text)) == NOT_FOUND


def test_what_is_registered_has_its_share_of_the_cache_and_goes_when_it_is_not_used() -> None:
    documents = KnownDocuments(Documents(SCHEMA, cache_size=3))
    texts = [f"{{ a{number}: hello }}" for number in range(4)]
    for text in texts[:3]:
        documents.prepare(text, None, id_of(text))
    documents.prepare(None, None, id_of(texts[0]))
    documents.prepare(texts[3], None, id_of(texts[3]))
    assert refused(documents, None, id_of(texts[1])) == NOT_FOUND
    for used in (texts[0], texts[2], texts[3]):
        assert documents.prepare(None, None, id_of(used)).root_field == "hello"


def test_what_is_registered_does_not_keep_its_text_twice() -> None:
    inner = Documents(SCHEMA)
    documents = KnownDocuments(inner)
    long = HELLO + " # " + "x" * 100_000
    documents.prepare(long, None, id_of(long))
    assert [len(key) for key in inner._kept] == [71]


MD5 = "0123456789abcdef0123456789abcdef"
LISTED = {MD5: HELLO, id_of(COUNT): COUNT}


@pytest.mark.parametrize(
    ("document_id", "name"),
    [
        (MD5, "Hello"),
        (id_of(HELLO), "Hello"),
        (id_of(COUNT), "Count"),
        (hex_of(COUNT), "Count"),
    ],
)
@pytest.mark.parametrize("only_listed", [True, False])
def test_a_listed_document_is_known_by_its_id_and_by_its_hash(
    document_id: str, name: str, only_listed: bool
) -> None:
    documents = known(LISTED, only_listed=only_listed)
    operation = documents.prepare(None, None, document_id)
    assert operation.name == name
    text = HELLO if name == "Hello" else COUNT
    assert documents.prepare(text, None, document_id) is operation


def test_a_bare_hash_of_a_list_is_known_in_both_forms() -> None:
    """graphql-codegen, Relay and Apollo write it bare, the specification with its prefix."""
    documents = known({hex_of(HELLO): HELLO}, only_listed=True)
    for document_id in (hex_of(HELLO), id_of(HELLO)):
        assert documents.prepare(None, None, document_id).name == "Hello"
    # A hash of what a client makes of the text is the list's affair.
    documents = known({"f" * 64: HELLO}, only_listed=True)
    assert documents.prepare(None, None, f"sha256:{'f' * 64}").name == "Hello"


def test_with_listed_documents_only_the_texts_of_the_list_are_executed() -> None:
    documents = known(LISTED, only_listed=True)
    assert documents.prepare(HELLO).name == "Hello"
    told = refused(documents, OTHER)
    assert told == (
        "FORBIDDEN",
        "the document is not known: this server runs only those that its operator has listed",
    )
    assert refused(documents, OTHER, id_of(OTHER)) == told
    assert refused(documents, OTHER, MD5) == told
    assert refused(documents, HELLO + " ") == told
    assert refused(documents, None, id_of(OTHER)) == NOT_FOUND
    assert refused(documents, None, "") == NOT_FOUND


@pytest.mark.parametrize("only_listed", [True, False])
def test_the_id_and_the_text_of_two_documents_are_refused(only_listed: bool) -> None:
    documents = known(LISTED, only_listed=only_listed)
    code, message = refused(documents, COUNT, MD5)
    assert (code, MD5 in message) == ("BAD_USER_INPUT", True)
    assert documents.prepare(None, None, MD5).name == "Hello"


def test_a_list_beside_other_documents_leaves_clients_as_they_are() -> None:
    documents = known(LISTED)
    assert documents.prepare(OTHER).root_field == "__typename"
    assert documents.prepare(OTHER, None, id_of(OTHER)).root_field == "__typename"
    assert documents.prepare(None, None, id_of(OTHER)).root_field == "__typename"


def test_listed_documents_are_kept_for_good() -> None:
    documents = KnownDocuments(Documents(SCHEMA, cache_size=1), LISTED)
    operation = weakref.ref(documents.prepare(None, None, MD5))
    for number in range(5):
        documents.prepare(f"{{ a{number}: hello }}")
    gc.collect()
    kept: Operation | None = operation()
    assert kept is documents.prepare(None, None, MD5)


def test_a_listed_document_that_cannot_be_used_is_named() -> None:
    with pytest.raises(ConfigurationError) as wrong:
        known({"good": HELLO, "old": "{ gone }", "broken": "{", id_of(HELLO): COUNT})
    lines = str(wrong.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("WIDGETWIRE_DOCUMENTS_FILE: document 'old': Cannot query field")
    assert lines[1].startswith("WIDGETWIRE_DOCUMENTS_FILE: document 'broken': Syntax Error")
    assert id_of(COUNT) in lines[2]


def test_ten_of_many_bad_documents_are_named() -> None:
    with pytest.raises(ConfigurationError) as wrong:
        known({f"d{number}": f"{{ gone{number} }}" for number in range(200)})
    assert len(str(wrong.value).splitlines()) == 10


def test_listed_documents_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {str(number): HELLO for number in range(2_001)}
    with pytest.raises(ConfigurationError, match="at most 2000 documents, got 2001"):
        known(many)
    monkeypatch.setattr("app.engine.known_documents._MAX_LISTED_BYTES", 10_000)
    several = {str(number): f"{{ a{number}: hello }}" for number in range(50)}
    with pytest.raises(ConfigurationError, match="at most 10000 bytes of memory"):
        known(several)


def test_a_text_under_two_ids_is_prepared_once() -> None:
    documents = known({"one": HELLO, "two": HELLO})
    assert documents.prepare(None, None, "one") is documents.prepare(None, None, "two")


def test_an_executor_is_made_with_its_list() -> None:
    executor = Executor.of(SCHEMA, listed=LISTED, only_listed=True)
    assert executor.prepare(None, None, MD5).name == "Hello"
    with pytest.raises(RequestRefused):
        executor.prepare(OTHER)
