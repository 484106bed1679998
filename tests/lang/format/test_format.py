"""The canonical layout: once is enough, the program stays, comments stay."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lang.test_commands import PROGRAM, codeai

from backstay.core.errors import Plain
from backstay.lang.api import parse_text
from backstay.lang.format import format_text
from backstay.lang.lexer import lex
from backstay.lang.reports import Reports
from backstay.lang.tree import plain

ROUGH = """

# head
entity   Item{ // the item
      id:uuid,primary,auto


   # about the name
   name : string,required ,min( 1 )
 total: decimal( 10,2 )
}
endpoint POST /items/{id}{
path{id:uuid}
   do{
      let a=create Item{name:"x  y",total:-1+2*-3}   # a comment
  let items = [x in body.items :{
name: x.name
      }]
      let long = 1 +
      2
      return {a:a.id}
 }

}
"""
NEAT = """\
# head
entity Item {  // the item
  id: uuid, primary, auto

  # about the name
  name: string, required, min(1)
  total: decimal(10, 2)
}

endpoint POST /items/{id} {
  path { id: uuid }
  do {
    let a = create Item { name: "x  y", total: -1 + 2 * -3 }  # a comment
    let items = [x in body.items: {
      name: x.name
    }]
    let long = 1 +
      2
    return { a: a.id }
  }
}
"""


def tree(text: str) -> Plain:
    """The tree without places."""
    file, found = parse_text("a.cai", text)
    assert found == []
    return _bare(plain(file)["declarations"])


def _bare(node: Plain) -> Plain:
    if isinstance(node, dict):
        return {
            name: _bare(value) for name, value in node.items() if name not in ("span", "op_span")
        }
    return [_bare(each) for each in node] if isinstance(node, list) else node


def test_a_rough_file_becomes_neat() -> None:
    assert format_text(ROUGH) == NEAT


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "/* a\n   b */\n"])
def test_files_without_declarations(text: str) -> None:
    made = format_text(text)
    assert made == format_text(made)
    assert made.strip() == text.strip()


@pytest.mark.parametrize(
    ("line", "neat"),
    [
        ("a:b?c:d", "a: b ? c : d"),
        ("x  ( 1,2 )", "x (1, 2)"),
        ("f( g( 1 ) )", "f(g(1))"),
        ("a-b - -c", "a - b - -c"),
        ("return -1", "return -1"),
        ("x in (a,b)", "x in (a, b)"),
        ("list({a:b})", "list({ a: b })"),
        ("a . b", "a.b"),
        ("a.not[0] - a.in -1", "a.not[0] - a.in - 1"),
        ("{}", "{ }"),
        ('@auth( "x" )', '@auth("x")'),
        ("a??b", "a ?? b"),
        ("a /* why */ b//c", "a /* why */ b  //c"),
    ],
)
def test_spaces_inside_a_line(line: str, neat: str) -> None:
    assert format_text(line) == neat + "\n"


_NAMES = st.sampled_from(["alpha", "beta", "job", "index", "status", "x1"])
_ATOMS = st.one_of(
    _NAMES,
    st.integers(0, 99).map(str),
    st.sampled_from(['"te  xt"', '"a {x1} b"', "30s", "1.50", "true", "null", "now()", "body.a.b"]),
)
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds(
            "{} {} {}".format,
            inner,
            st.sampled_from(["+", "-", "*", "/", "==", "<", "and", "or", "??", "in"]),
            inner,
        ).map("({})".format),
        inner.map("-{}".format),
        inner.map("not {}".format).map("({})".format),
        st.lists(inner, max_size=3).map(lambda items: "[" + " , ".join(items) + " ]"),
        st.builds("lower( {} )".format, inner),
        st.builds("{{ a : {} ,\n b:{} }}".format, inner, inner),
        st.builds("[ {} in {} : {} ]".format, _NAMES, inner, inner),
        st.builds("map( {} ,{}=>{} )".format, inner, _NAMES, inner),
    ),
    max_leaves=8,
)
_FIELDS = st.builds(
    "{} : {}{}".format,
    _NAMES,
    st.sampled_from(["string", "decimal( 10 ,2)", "enum(a,b)", "list( {a:int} )", "ref(Item)"]),
    st.sampled_from(["", ",required", " , min(1),max( 5 )", ", default( now() )"]),
)
_STATEMENTS = st.one_of(
    st.builds("let {} = {}".format, _NAMES, _EXPRESSIONS),
    st.builds("create Item {{ a :{} }}".format, _EXPRESSIONS),
    st.builds(
        "update Item where {} {{a:{}}} else fail 409 'x'".format, _EXPRESSIONS, _EXPRESSIONS
    ).map(lambda text: text.replace("'", '"')),
    st.builds('for {} in {} {{\n fail "no"\n}}'.format, _NAMES, _ATOMS),
    st.builds("if {} {{\n return {}\n}} else {{\n }}".format, _EXPRESSIONS, _EXPRESSIONS),
)
_IN_TESTS = st.one_of(
    _STATEMENTS,
    st.builds("assert {}".format, _EXPRESSIONS),
    st.builds('assert ({}) else "no"'.format, _EXPRESSIONS),
    st.builds("let {}=given Item {{a:{} }}".format, _NAMES, _EXPRESSIONS),
    st.builds("stub Bank . charge returns {}".format, _EXPRESSIONS),
    st.sampled_from(["stub Bank.charge fails 503", "let x=run pay{ a :1 }", "run = assert+1"]),
    st.builds("call GET /a/{{b.c}}/d {{a:{}}} as {{ id:1 }}".format, _EXPRESSIONS),
    st.builds("advance  {}".format, _EXPRESSIONS),
    st.builds("expect Item where {} {{a:{}}}".format, _EXPRESSIONS, _EXPRESSIONS),
)
_BLOCKS = st.one_of(
    st.lists(_IN_TESTS, max_size=4).map(lambda s: 'test  "a {b}" {\n' + "\n".join(s) + "\n}"),
    st.lists(_FIELDS, max_size=4).map(lambda f: "entity Item {\n" + "\n".join(f) + "\n}"),
    st.lists(_STATEMENTS, max_size=4).map(
        lambda s: 'job nightly {\nschedule : "0 2 * * *"\ndo {\n' + "\n".join(s) + "\n}\n}"
    ),
    st.builds(
        "endpoint GET /a/{{id}} {{\npath{{ id:uuid }}\nwhere: {}\nfilter:[a,b ,]\n}}".format,
        _EXPRESSIONS,
    ),
)
_PROGRAMS = st.lists(_BLOCKS, max_size=4).map("\n".join)


def shaken(text: str, draw: st.DataObject) -> str:
    """The same words with other spaces, comments and blank lines; line breaks stay."""
    made: list[str] = []
    for number, line in enumerate(text.split("\n")):
        made += draw.draw(st.lists(st.sampled_from(["", "  \t", f" # note {number}"]), max_size=1))
        lead = draw.draw(st.sampled_from(["", "  ", "\t", "       "]))
        tail = draw.draw(st.sampled_from(["", "  ", f" // tail {number}", "/* a */", "\r"]))
        made.append(
            lead + line.replace(" ", draw.draw(st.sampled_from([" ", "  ", " \t "]))) + tail
        )
    return "\n".join(made)


@settings(max_examples=150, deadline=None)
@given(_PROGRAMS, st.data())
def test_generated_programs_stay_what_they_are(text: str, data: st.DataObject) -> None:
    rough = shaken(text, data)
    once = format_text(rough)
    assert format_text(once) == once
    assert tree(once) == tree(rough)
    comments = [
        [each.text.rstrip() for each in lex(source, Reports("")).comments]
        for source in (rough, once)
    ]
    assert comments[0] == comments[1]


@settings(max_examples=150, deadline=None)
@given(_PROGRAMS)
def test_indentation_and_blank_lines_do_not_depend_on_what_was_there(text: str) -> None:
    once = format_text(text)
    flat = "\n".join(line.strip() + "   " for line in once.split("\n"))
    assert format_text(flat) == once


def test_the_running_example_is_canonical() -> None:
    assert format_text(PROGRAM.read_text()) == PROGRAM.read_text()


def test_a_query_that_is_written_out_keeps_its_spaces() -> None:
    """`between -5 and -3` with spaces behind the signs is no query any more."""
    query = "select  orders where total between -5 and  -3\n        and x in [ 1,2 ]"
    text = f"workflow w {{\n  steps {{\n    a {{ query: {query}\n as:rows }}\n  }}\n}}\n"
    once = format_text(text)
    assert f"query: {query}\n      as: rows" in once
    assert tree(once) == tree(text)
    assert format_text(once) == once


# --- the command ---


def test_files_are_written_in_place_and_keep_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.cai"
    path.write_text(ROUGH)
    path.chmod(0o666)
    done = codeai("fmt", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert path.read_text() == format_text(ROUGH)
    assert path.stat().st_mode & 0o777 == 0o666
    assert [each.name for each in tmp_path.iterdir()] == ["a.cai"]
    assert codeai("fmt", str(tmp_path)).stdout == b""


def test_check_and_diff_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.cai"
    path.write_text(ROUGH)
    check = codeai("fmt", "--check", str(path))
    assert (check.returncode, check.stdout) == (1, b"")
    assert b"would be laid out anew" in check.stderr
    diff = codeai("fmt", "--diff", str(path))
    assert diff.returncode == 0
    assert b"\n+  id: uuid, primary, auto\n" in diff.stdout
    assert path.read_text() == ROUGH


def test_standard_input_goes_to_standard_output() -> None:
    done = codeai("fmt", "-", stdin=ROUGH.encode())
    assert (done.returncode, done.stdout.decode()) == (0, format_text(ROUGH))


def test_a_file_with_mistakes_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.cai"
    path.write_text("entity A { id uuid }")
    done = codeai("fmt", str(path))
    assert done.returncode == 1
    assert b"LANG010" in done.stderr
    assert path.read_text() == "entity A { id uuid }"
