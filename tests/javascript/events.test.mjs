// The parser of event streams.

import assert from "node:assert/strict";
import test from "node:test";

import { EventParser } from "../../diffs/static/diffs/events.js";

const bytes = (text) => new TextEncoder().encode(text);

/** What the parser finds in a text that comes in pieces. */
function read(...pieces) {
  const parser = new EventParser();
  return pieces.flatMap((piece) => parser.push(typeof piece === "string" ? bytes(piece) : piece));
}

function block(more) {
  return { event: "message", data: null, id: null, retry: null, ...more };
}

test("an event has the id, the type and the data that its lines name", () => {
  assert.deepEqual(read('event: reset\nid: c1\ndata: {"a":1}\n\n'), [
    block({ event: "reset", id: "c1", data: '{"a":1}' }),
  ]);
});

test("an id without data is told, as it moves the cursor", () => {
  assert.deepEqual(read("id: c1\n\n"), [block({ id: "c1" })]);
});

test("comments are passed over, and so are fields that nobody knows", () => {
  assert.deepEqual(read(": hello\n:\nfoo: bar\nfoo\n\nid: c1\n: in between\n\n"), [block({ id: "c1" })]);
});

test("several lines of data are joined", () => {
  assert.deepEqual(read("data: one\ndata:\ndata: two\n\n"), [block({ data: "one\n\ntwo" })]);
});

test("only the first space behind the colon is dropped", () => {
  assert.deepEqual(read("data:  a: b\nid:c\n\n"), [block({ data: " a: b", id: "c" })]);
});

test("a line without a colon is a field without a value", () => {
  assert.deepEqual(read("data\nid\n\n"), [block({ data: "", id: "" })]);
});

test("an empty type is the usual one", () => {
  assert.deepEqual(read("event:\ndata: x\n\n"), [block({ data: "x" })]);
});

test("an id with a null character is none", () => {
  assert.deepEqual(read("id: a\0b\ndata: x\n\n"), [block({ data: "x" })]);
});

test("only whole numbers say how long to wait", () => {
  assert.deepEqual(read("retry: 3000\n\nretry: soon\n\nretry: -1\n\nretry: 1.5\n\n"), [block({ retry: 3000 })]);
});

for (const [name, end] of Object.entries({ "a line feed": "\n", "a carriage return": "\r", both: "\r\n" })) {
  test(`lines may end with ${name}`, () => {
    const text = ["id: c1", "data: one", "data: two", "", "id: c2", "", ""].join(end);
    assert.deepEqual(read(text), [block({ id: "c1", data: "one\ntwo" }), block({ id: "c2" })]);
  });

  test(`a text whose lines end with ${name} is read the same wherever it is cut`, () => {
    const whole = bytes(
      ["\ufeffid: c1", "data: Zoë ✈ 🛫", ":", "", "event: reset", "data: {}", "id: c2", "", ""].join(end),
    );
    const expected = [block({ id: "c1", data: "Zoë ✈ 🛫" }), block({ event: "reset", data: "{}", id: "c2" })];
    for (let first = 0; first <= whole.length; first += 1) {
      for (let second = first; second <= whole.length; second += 1) {
        assert.deepEqual(read(whole.slice(0, first), whole.slice(first, second), whole.slice(second)), expected);
      }
    }
    assert.deepEqual(read(...[...whole].map((byte) => new Uint8Array([byte]))), expected);
  });
}

test("a byte order mark is dropped at the beginning only", () => {
  assert.deepEqual(read("\ufeffdata: \ufeffx\n\n"), [block({ data: "\ufeffx" })]);
});

test("what isn't finished by a blank line isn't told", () => {
  assert.deepEqual(read("id: c1\ndata: x\n"), []);
});

test("blank lines alone are no events", () => {
  assert.deepEqual(read("\n\n\r\n\r\r"), []);
});

test("other characters that end lines elsewhere end none here", () => {
  assert.deepEqual(read("data: a\u2028b\u0085c\u000bd\n\n"), [block({ data: "a\u2028b\u0085c\u000bd" })]);
});

test("a line of many chunks is put together", () => {
  const text = "x".repeat(300_000);
  const pieces = text.match(/.{1,1000}/g);
  assert.deepEqual(read("data: ", ...pieces, "\n", "\n"), [block({ data: text })]);
});
