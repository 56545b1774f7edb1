import pytest

from boxloop.review.fiftyone.guard.queries import NotAllowed, read


def test_what_the_app_asks_for():
    assert read("query A($n: String!) { dataset(name: $n) { name } uid version }") == ()
    read("mutation B { setSample(subscription: null, id: null) }")
    read("{ __typename ...P } fragment P on Query { config { colorBy } }")


@pytest.mark.parametrize(
    "text",
    [
        "mutation { deleteSavedView(viewName: 1) }",
        "mutation { a: createSavedView(viewName: 1) }",
        "mutation { uid ... on Mutation { updateSavedView(viewName: 1) } }",
        "mutation { ...P } fragment P on Mutation { ...Q } fragment Q on Mutation { setThing }",
        "query { __schema { types { name } } }",
        "query A { uid } mutation B { deleteSavedView(viewName: 1) }",
        "subscription { uid }",
        "type A { b: Int }",
        *("", "{", "not graphql", "{ " * 50_000, "\x00"),
        "{ uid(a: " + "[" * 5000 + "]" * 5000 + ") }",
        "query { " + "uid " * 30_000 + "}",
    ],
)
def test_what_it_does_not_ask_for(text):
    with pytest.raises(NotAllowed):
        read(text)


def test_fragments_in_a_circle_end():
    read("{ ...P } fragment P on Query { uid ...P }")


def test_values_that_stand_in_the_document_are_found():
    text = (
        '{ dataset(name: "b00", view: [{_cls: "os.system", kwargs: [["command", "ls"]]}]) { id } }'
    )
    values = read(text)
    assert "b00" in values
    assert [{"_cls": "os.system", "kwargs": [["command", "ls"]]}] in values
    assert {"_cls": "x"} in read('query ($v: A = {_cls: "x"}) { uid }')
